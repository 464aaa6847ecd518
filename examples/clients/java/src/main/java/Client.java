import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import tools.jackson.databind.json.JsonMapper;

/**
 * Asks nik-stream three things and reads the outcomes, with Spring for Apache Kafka. BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default.
 *
 * <pre>
 * mvn compile dependency:copy-dependencies
 * java -cp 'target/classes:target/dependency/*' Client
 * </pre>
 */
@EnableKafka
@Configuration(proxyBeanMethods = false)
public class Client {
    static final String SERVERS = System.getenv().getOrDefault("BOOTSTRAP_SERVERS", "localhost:9092");
    /** What waits for its outcome, by key. A service that may crash keeps this in its database. */
    static final Map<String, CompletableFuture<ConsumerRecord<String, String>>> WAITING = new ConcurrentHashMap<>();

    // NIKs are text, never long: a source's 0123L is 83, and readers of JSON on the way may not hold numbers beyond 2^53.
    record Request(List<String> nik, String process) {}

    static final List<Request> ASKED = List.of(
            new Request(List.of("3273010101900001", "1234567891234567"), "limited"),
            new Request(List.of("3273010101900001"), "full"),
            new Request(List.of("3273010101900001"), "fast")); // there is no such process

    /** Once this returns the outcome counts as dealt with: a crash before brings it again, so deal with a key twice alike. */
    @KafkaListener(topics = {"nik.results", "nik.failures"}, groupId = "client-java")
    void outcome(ConsumerRecord<String, String> record) {
        var waiting = record.key() == null ? null : WAITING.remove(record.key());
        if (waiting != null) waiting.complete(record); // others ask, too
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory() {
        var factory = new ConcurrentKafkaListenerContainerFactory<String, String>();
        factory.setConsumerFactory(new DefaultKafkaConsumerFactory<>(Map.of(
                "bootstrap.servers", SERVERS,
                "auto.offset.reset", "earliest",
                "isolation.level", "read_committed", // not the default: what was not committed is no outcome
                "key.deserializer", StringDeserializer.class,
                "value.deserializer", StringDeserializer.class)));
        return factory;
    }

    @Bean
    KafkaTemplate<String, String> template() { // idempotent: a retry never becomes a second request
        return new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(Map.of(
                "bootstrap.servers", SERVERS, "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class)));
    }

    public static void main(String[] arguments) throws Exception {
        var json = new JsonMapper();
        try (var context = new AnnotationConfigApplicationContext(Client.class)) {
            var template = (KafkaTemplate<String, String>) context.getBean("template", KafkaTemplate.class);
            var outcomes = new ArrayList<CompletableFuture<ConsumerRecord<String, String>>>();
            for (var request : ASKED) {
                var key = UUID.randomUUID().toString(); // yours: the id of an application, say. The outcome carries the same one.
                outcomes.add(new CompletableFuture<>());
                WAITING.put(key, outcomes.get(outcomes.size() - 1));
                template.send("nik.requests", key, json.writeValueAsString(request)).get(30, TimeUnit.SECONDS);
            }
            for (int at = 0; at < outcomes.size(); at++) tell(json, at + 1, outcomes.get(at).get(60, TimeUnit.SECONDS));
        }
    }

    static void tell(JsonMapper json, int number, ConsumerRecord<String, String> record) {
        if (record.topic().equals("nik.failures")) {
            System.out.println(number + " failed: " + new String(record.headers().lastHeader("nik-failure-reason").value()));
            return;
        }
        json.readTree(record.value()).get("data").properties().forEach(entry -> {
            var told = entry.getValue();
            System.out.println(number + " " + entry.getKey() + " " + (told.isBoolean()
                    ? (told.asBoolean() ? "valid" : "not valid")
                    : told.at("/data/area/value/district").asString() + ", born " + told.at("/data/dob/value/dob").asString()));
        });
    }
}
