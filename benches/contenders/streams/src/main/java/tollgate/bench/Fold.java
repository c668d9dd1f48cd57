package tollgate.bench;

import java.nio.ByteBuffer;
import java.time.Duration;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Decides each event: seen before, over its user's limit, more than the pool has left, or debited. */
final class Fold implements Processor<String, byte[], Void, Void> {
    static final String SEEN = "seen";
    static final String USERS = "users";
    static final String POOLS = "pools";
    static final String ROLLUPS = "rollups";

    private final Plans plans;
    private final ThreadLocal<Sink> sinks;
    private ProcessorContext<Void, Void> context;
    private KeyValueStore<String, Long> seen;
    private KeyValueStore<String, Long> users;
    private KeyValueStore<String, Long> pools;
    private KeyValueStore<String, byte[]> rollups;

    Fold(Plans plans, ThreadLocal<Sink> sinks) {
        this.plans = plans;
        this.sinks = sinks;
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        this.context = context;
        seen = context.getStateStore(SEEN);
        users = context.getStateStore(USERS);
        pools = context.getStateStore(POOLS);
        rollups = context.getStateStore(ROLLUPS);
        Duration interval = Duration.ofMillis(Sink.INTERVAL_MS);
        context.schedule(interval, PunctuationType.WALL_CLOCK_TIME, now -> sinks.get().flushIfDue());
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Sink sink = sinks.get();
        sink.begin(context);
        Event event = Event.parse(record.value());
        if (seen.putIfAbsent(event.workspace + "/" + event.id, event.timeMicros) == null) {
            decide(event, sink);
        }
        sink.flushIfDue();
    }

    private void decide(Event event, Sink sink) {
        String userKey = event.workspace + "/" + event.user;
        long spent = orZero(users.get(userKey)) + event.micro;
        long used = orZero(pools.get(event.workspace)) + event.micro;
        String outcome = "allowed";
        if (spent > plans.limits().getOrDefault(userKey, Long.MAX_VALUE)) {
            outcome = "user_limit";
        } else if (used > plans.pools().getOrDefault(event.workspace, 0L)) {
            outcome = "insufficient_credits";
        }
        boolean allowed = outcome.equals("allowed");
        // Offsets grow within a partition, and so do the versions of what lives in it.
        long version = context.recordMetadata().orElseThrow().offset() + 1;
        if (allowed) {
            users.put(userKey, spent);
            pools.put(event.workspace, used);
            sink.pool(event.workspace, used, version);
        }
        count(event, allowed, version, sink);
        sink.event(event, outcome);
    }

    private void count(Event event, boolean allowed, long version, Sink sink) {
        String key = event.workspace + "/" + event.user + "/" + event.feature;
        byte[] before = rollups.get(key);
        ByteBuffer sums = before == null ? ByteBuffer.allocate(24) : ByteBuffer.wrap(before);
        long events = sums.getLong(0) + (allowed ? 1 : 0);
        long micro = sums.getLong(8) + (allowed ? event.micro : 0);
        long denied = sums.getLong(16) + (allowed ? 0 : 1);
        rollups.put(key, ByteBuffer.allocate(24).putLong(events).putLong(micro).putLong(denied).array());
        sink.total(key, new Sink.Total(event.workspace, event.user, event.feature, events, micro, denied, version));
    }

    private static long orZero(Long number) {
        return number == null ? 0 : number;
    }
}
