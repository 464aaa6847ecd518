import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import tools.jackson.databind.json.JsonMapper;

/**
 * Asks nik-stream one thing and waits for the answer, by Spring's request-reply. REPLIES names the topic of the answers, one of those in nik-stream's
 * topics.reply_allowed; BOOTSTRAP_SERVERS the brokers, localhost:9092 by default.
 */
public class Ask {
    record Request(List<String> nik, String process) {}

    public static void main(String[] arguments) throws Exception {
        var servers = System.getenv().getOrDefault("BOOTSTRAP_SERVERS", "localhost:9092");
        var answers = new ContainerProperties(System.getenv("REPLIES"));
        answers.setGroupId("ask-" + UUID.randomUUID()); // each client reads all answers and keeps its own
        var listener = new ConcurrentMessageListenerContainer<String, String>(new DefaultKafkaConsumerFactory<>(Map.of(
                "bootstrap.servers", servers,
                "isolation.level", "read_committed", // not the default; uncommitted records are not outcomes
                "key.deserializer", StringDeserializer.class,
                "value.deserializer", StringDeserializer.class)), answers);
        var requests = new DefaultKafkaProducerFactory<String, String>(Map.of(
                "bootstrap.servers", servers, "key.serializer", StringSerializer.class, "value.serializer", StringSerializer.class));
        var template = new ReplyingKafkaTemplate<>(requests, listener); // sets kafka_replyTopic and kafka_correlationId
        template.setSharedReplyTopic(true); // answers to other clients are not errors
        template.start();
        try {
            template.waitForAssignment(Duration.ofSeconds(30));
            var request = new JsonMapper().writeValueAsString(new Request(List.of("3273010101900001"), "limited"));
            // A failure goes to nik.failures, so this call then ends with a timeout.
            var answer = template.sendAndReceive(
                    new ProducerRecord<>("nik.requests", UUID.randomUUID().toString(), request), Duration.ofSeconds(30));
            System.out.println(answer.get(60, TimeUnit.SECONDS).value());
        } finally {
            template.stop();
            template.destroy(); // stops its timer
            requests.destroy();
        }
    }
}
