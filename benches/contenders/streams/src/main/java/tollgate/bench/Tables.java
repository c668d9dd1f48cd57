package tollgate.bench;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;

/** ClickHouse over HTTP. */
final class Tables {
    private static final String[] TABLES = {
        """
        CREATE TABLE events (
            time DateTime64(6, 'UTC'), workspace String, user String, feature LowCardinality(String),
            id String, source LowCardinality(String), micro Int64, model LowCardinality(String),
            input_tokens UInt64, output_tokens UInt64, quantity UInt64, outcome LowCardinality(String)
        ) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (workspace, time)""",
        """
        CREATE TABLE rollups (
            workspace String, user String, feature LowCardinality(String),
            events UInt64, micro Int64, denied UInt64, version UInt64
        ) ENGINE = ReplacingMergeTree(version) ORDER BY (workspace, user, feature)""",
        """
        CREATE TABLE pools (workspace String, used Int64, version UInt64)
        ENGINE = ReplacingMergeTree(version) ORDER BY workspace"""
    };

    private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private final Job job;

    Tables(Job job) {
        this.job = job;
    }

    void create() {
        for (String table : TABLES) {
            post("?database=" + word(job.name()), table.getBytes(StandardCharsets.UTF_8));
        }
    }

    void insert(String table, RowBinary rows) {
        if (rows.size() > 0) {
            String query = "INSERT INTO " + table + " FORMAT RowBinary";
            post("?database=" + word(job.name()) + "&query=" + word(query), rows.toByteArray());
        }
    }

    private void post(String query, byte[] body) {
        HttpRequest request = HttpRequest.newBuilder(URI.create(job.clickhouse() + "/" + query))
                .POST(HttpRequest.BodyPublishers.ofByteArray(body))
                .build();
        try {
            HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IllegalStateException(answer.body());
            }
        } catch (IOException fault) {
            throw new IllegalStateException(fault);
        } catch (InterruptedException fault) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(fault);
        }
    }

    private static String word(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }
}
