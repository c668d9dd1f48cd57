package tollgate.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;

/** What is to be drained, and where to. */
record Job(String brokers, String topic, long records, String name, String clickhouse, Path plans) {
    static Job parse(String json) throws IOException {
        JsonNode job = new ObjectMapper().readTree(json);
        return new Job(
                job.get("brokers").asText(),
                job.get("topic").asText(),
                job.get("records").asLong(),
                job.get("name").asText(),
                job.get("clickhouse").asText(),
                Path.of(job.get("plans").asText()));
    }
}
