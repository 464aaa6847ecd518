/* The headers of a consumed message as they came. librdkafka's public interface only has them
 * parsed: it allocates memory for each header, and even for a message without headers.
 *
 * It reads librdkafka's internal message, so it belongs to the version in third_party. */

#include "rdkafka_int.h"
#include "rdkafka_msg.h"

/* Their bytes; they live as long as the message. */
size_t nik_unparsed_headers(const rd_kafka_message_t *message, const void **start) {
        const rd_kafkap_bytes_t *headers =
            &((const rd_kafka_msg_t *)message)->rkm_u.consumer.binhdrs;
        *start = headers->data;
        return (size_t)RD_KAFKAP_BYTES_LEN(headers);
}
