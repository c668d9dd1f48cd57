package tollgate.bench;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The same fold as a Kafka Streams job: state in memory with changelog topics, at least once, two threads.
 * It says "ready", waits for a line, drains the topic, and says how long that took.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Job job = Job.parse(arguments[0]);
        new Tables(job).create();
        BufferedReader told = new BufferedReader(new InputStreamReader(System.in));
        KafkaStreams streams = new KafkaStreams(topology(job), settings(job));
        streams.setUncaughtExceptionHandler(fault -> {
            fault.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        System.out.println("ready");
        told.readLine();
        streams.start();
        while (Sink.written() < job.records()) {
            Thread.sleep(5);
        }
        double seconds = (System.nanoTime() - Sink.firstNanos()) / 1e9;
        System.out.println("{\"records\":" + Sink.written() + ",\"seconds\":" + seconds + "}");
        told.readLine();
        streams.close();
    }

    private static Topology topology(Job job) throws Exception {
        Plans plans = Plans.read(job);
        ThreadLocal<Sink> sinks = ThreadLocal.withInitial(() -> new Sink(job));
        Topology topology = new Topology();
        topology.addSource("events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), job.topic());
        topology.addProcessor("fold", () -> new Fold(plans, sinks), "events");
        topology.addStateStore(store(Fold.SEEN, Serdes.Long()), "fold");
        // With a cache only the last value of a commit goes to the changelog; an id is written once anyway.
        topology.addStateStore(store(Fold.USERS, Serdes.Long()).withCachingEnabled(), "fold");
        topology.addStateStore(store(Fold.POOLS, Serdes.Long()).withCachingEnabled(), "fold");
        topology.addStateStore(store(Fold.ROLLUPS, Serdes.ByteArray()).withCachingEnabled(), "fold");
        return topology;
    }

    private static <V> StoreBuilder<?> store(String name, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(name), Serdes.String(), values);
    }

    private static Properties settings(Job job) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, job.name());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.brokers());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("java.io.tmpdir") + "/" + job.name());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        // Tasks ask for a commit when their rows are written; nobody else does.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 3_600_000L);
        settings.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        return settings;
    }
}
