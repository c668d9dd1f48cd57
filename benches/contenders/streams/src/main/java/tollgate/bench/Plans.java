package tollgate.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;

/** Pools and limits in microcredits, read once. */
record Plans(Map<String, Long> pools, Map<String, Long> limits) {
    static Plans read(Job job) throws IOException {
        Plans plans = new Plans(new HashMap<>(), new HashMap<>());
        try (var lines = Files.lines(job.plans())) {
            lines.map(line -> line.split("\t")).forEach(plans::take);
        }
        return plans;
    }

    private void take(String[] line) {
        long micro = Long.parseLong(line[2]);
        if (line[1].isEmpty()) {
            pools.put(line[0], micro);
        } else {
            limits.put(line[0] + "/" + line[1], micro);
        }
    }
}
