/* The headers of a consumed message as bytes. librdkafka's public interface returns them parsed
 * only, and allocates memory for each header, and even for a message without headers.
 *
 * This file uses librdkafka's internal types, so it must match the version in third_party. */

#include "rdkafka_int.h"
#include "rdkafka_msg.h"

/* The bytes live as long as the message. */
size_t nik_unparsed_headers(const rd_kafka_message_t *message, const void **start) {
        const rd_kafkap_bytes_t *headers =
            &((const rd_kafka_msg_t *)message)->rkm_u.consumer.binhdrs;
        *start = headers->data;
        return (size_t)RD_KAFKAP_BYTES_LEN(headers);
}
