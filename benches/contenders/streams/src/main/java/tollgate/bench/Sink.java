package tollgate.bench;

import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.streams.processor.api.ProcessorContext;

/**
 * What one thread's tasks have decided and not yet written: 50,000 rows or 500 ms of it. When all of it
 * is written, the tasks ask for their commits. Totals are written as absolutes, the last of each.
 */
final class Sink {
    static final long INTERVAL_MS = 500;
    private static final int ROWS_MAX = 50_000;
    private static final AtomicLong WRITTEN = new AtomicLong();
    private static volatile long firstNanos;

    private final Tables tables;
    private final Set<ProcessorContext<?, ?>> tasks = new LinkedHashSet<>();
    private final Map<String, Total> totals = new HashMap<>();
    private final Map<String, long[]> pools = new HashMap<>();
    private RowBinary rows = new RowBinary();
    private long waiting;
    private long flushedNanos = System.nanoTime();

    /** A user's sums on one feature. */
    record Total(String workspace, String user, String feature, long events, long micro, long denied, long version) {}

    Sink(Job job) {
        tables = new Tables(job);
    }

    /** Records of all threads that are written. */
    static long written() {
        return WRITTEN.get();
    }

    /** When the first record came. */
    static long firstNanos() {
        return firstNanos;
    }

    /** Counts a record, before it is decided. */
    void begin(ProcessorContext<?, ?> task) {
        if (firstNanos == 0) {
            firstNanos = System.nanoTime();
        }
        tasks.add(task);
        waiting++;
    }

    void event(Event event, String outcome) {
        rows.number(event.timeMicros).text(event.workspace).text(event.user).text(event.feature);
        rows.text(event.id).text(event.source).number(event.micro).text(event.model);
        rows.number(event.inputTokens).number(event.outputTokens).number(event.quantity).text(outcome);
    }

    void total(String key, Total total) {
        totals.put(key, total);
    }

    void pool(String workspace, long used, long version) {
        pools.put(workspace, new long[] {used, version});
    }

    void flushIfDue() {
        if (waiting >= ROWS_MAX || System.nanoTime() - flushedNanos >= INTERVAL_MS * 1_000_000) {
            flush();
        }
    }

    private void flush() {
        tables.insert("events", rows);
        RowBinary rollups = new RowBinary();
        for (Total t : totals.values()) {
            rollups.text(t.workspace).text(t.user).text(t.feature);
            rollups.number(t.events).number(t.micro).number(t.denied).number(t.version);
        }
        tables.insert("rollups", rollups);
        RowBinary balances = new RowBinary();
        pools.forEach((workspace, pool) -> balances.text(workspace).number(pool[0]).number(pool[1]));
        tables.insert("pools", balances);
        tasks.forEach(ProcessorContext::commit);
        WRITTEN.addAndGet(waiting);
        rows = new RowBinary();
        totals.clear();
        pools.clear();
        waiting = 0;
        flushedNanos = System.nanoTime();
    }
}
