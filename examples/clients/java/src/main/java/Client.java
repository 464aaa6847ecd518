import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.listener.MessageListener;
import tools.jackson.databind.json.JsonMapper;

/** Sends four requests to nik-stream and reads the outcomes, with Spring for Apache Kafka. BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default. */
public class Client {
    static final JsonMapper JSON = new JsonMapper();

    // Send NIKs as strings, not as long: 0123L in Java source is 83, and many JSON parsers cannot represent numbers beyond 2^53.
    record Request(List<Object> nik, String process) {}

    /** A NIK with what its holder declared. */
    record Claim(String nik, String birth_date, String gender) {}

    public static void main(String[] arguments) throws Exception {
        var asked = List.of(
                new Request(List.of("3273010101900001", "1234567891234567"), "limited"),
                new Request(List.of("3273010101900001"), "full"),
                new Request(List.of(new Claim("3273010101900001", "1990-01-11", "Man"), "1234567891234567"), "explain"),
                new Request(List.of("3273010101900001"), "fast")); // an unknown process
        // Use your own key, such as an application id. The outcome has the same key.
        var keys = asked.stream().map(request -> UUID.randomUUID().toString()).toList();
        var waiting = new ConcurrentHashMap<String, Integer>(); // the requests without an outcome
        for (int at = 0; at < keys.size(); at++) waiting.put(keys.get(at), at + 1);
        var answered = new CountDownLatch(keys.size());

        var servers = System.getenv().getOrDefault("BOOTSTRAP_SERVERS", "localhost:9092");
        var read = new ContainerProperties("nik.results", "nik.failures");
        read.setGroupId("client-java");
        // The offset is committed after this returns. A crash before that repeats the outcome, so process it idempotently.
        read.setMessageListener((MessageListener<String, String>) record -> {
            if (record.key() == null || !waiting.containsKey(record.key())) return; // other clients have outcomes here too
            tell(waiting.get(record.key()), record);
            waiting.remove(record.key());
            answered.countDown();
        });
        var listener = new KafkaMessageListenerContainer<>(new DefaultKafkaConsumerFactory<String, String>(Map.of(
                "bootstrap.servers", servers,
                "auto.offset.reset", "earliest",
                "isolation.level", "read_committed", // not the default; uncommitted records are not outcomes
                "key.deserializer", StringDeserializer.class,
                "value.deserializer", StringDeserializer.class)), read);
        var producers = new DefaultKafkaProducerFactory<String, String>(Map.of( // idempotent: a retry does not create a second request
                "bootstrap.servers", servers, "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class));
        var template = new KafkaTemplate<>(producers);
        listener.start();
        try {
            for (int at = 0; at < keys.size(); at++)
                template.send("nik.requests", keys.get(at), JSON.writeValueAsString(asked.get(at))).get(30, TimeUnit.SECONDS);
            if (!answered.await(60, TimeUnit.SECONDS)) throw new TimeoutException("no outcome after a minute");
        } finally {
            listener.stop();
            producers.destroy();
        }
    }

    static void tell(int number, ConsumerRecord<String, String> outcome) {
        if (outcome.topic().equals("nik.failures")) {
            System.out.println(number + " failed: " + new String(outcome.headers().lastHeader("nik-failure-reason").value()));
            return;
        }
        var data = JSON.readTree(outcome.value()).get("data");
        data.values().forEach(entry -> { // explain: an array with one entry for each readable element, in the order sent
            if (!data.isArray()) return;
            var found = new ArrayList<String>();
            entry.get("sections").properties().forEach(section -> {
                var reason = section.getValue().get("reason");
                if (!reason.isNull()) found.add(section.getKey() + " " + reason.asString());
            });
            entry.get("declared").properties().forEach(declared -> {
                if (declared.getValue().isString()) found.add(declared.getKey() + " " + declared.getValue().asString());
            });
            System.out.println(number + " " + entry.get("nik").asString() + " " + String.join(", ", found));
        });
        data.properties().forEach(entry -> { // an array has none
            var told = entry.getValue();
            System.out.println(number + " " + entry.getKey() + " " + (told.isBoolean()
                    ? (told.asBoolean() ? "valid" : "not valid")
                    : told.at("/data/area/value/district").asString() + ", born " + told.at("/data/dob/value/dob").asString()));
        });
    }
}
