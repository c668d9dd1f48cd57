package tollgate.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.Instant;

/** A usage event, read with Jackson's streaming parser. */
final class Event {
    private static final JsonFactory JSON = new JsonFactory();

    String id = "";
    String source = "";
    long timeMicros;
    String workspace = "";
    String user = "";
    String feature = "";
    long micro;
    String model = "";
    long inputTokens;
    long outputTokens;
    long quantity;

    static Event parse(byte[] payload) {
        Event event = new Event();
        try (JsonParser json = JSON.createParser(payload)) {
            json.nextToken();
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                event.take(name, json);
            }
        } catch (IOException fault) {
            throw new IllegalStateException(fault);
        }
        return event;
    }

    private void take(String name, JsonParser json) throws IOException {
        switch (name) {
            case "id" -> id = json.getText();
            case "source" -> source = json.getText();
            case "time" -> timeMicros = micros(Instant.parse(json.getText()));
            case "workspace" -> workspace = json.getText();
            case "user" -> user = json.getText();
            case "feature" -> feature = json.getText();
            // Exact, since no event asks for thousands of millions.
            case "credits" -> micro = Math.round(json.getDoubleValue() * 1e6);
            case "model" -> model = json.getText();
            case "input_tokens" -> inputTokens = json.getLongValue();
            case "output_tokens" -> outputTokens = json.getLongValue();
            case "quantity" -> quantity = json.getLongValue();
            default -> json.skipChildren();
        }
    }

    private static long micros(Instant time) {
        return time.getEpochSecond() * 1_000_000 + time.getNano() / 1_000;
    }
}
