/* Steps of a transaction that librdkafka's public interface lacks: to ask how the last one ended,
 * to add a partition or a group without writing to it, to raise the producer epoch by an abort, and
 * to watch the connection to the coordinator.
 *
 * This file calls librdkafka's internal functions, so it must match the version in third_party. */

#include "rdkafka_int.h"
#include "rdkafka_coord.h"
#include "rdkafka_idempotence.h"
#include "rdkafka_partition.h"
#include "rdkafka_request.h"
#include "rdkafka_topic.h"
#include "rdkafka_txnmgr.h"

/* Kafka's code, which librdkafka does not know. */
#define TRANSACTIONAL_ID_NOT_FOUND 105

/* One request to a coordinator, whose answer the caller waits for. */
struct call {
        void (*send)(rd_kafka_t *rk, struct call *call);
        rd_kafka_q_t *queue;
        rd_bool_t done;
        rd_kafka_resp_err_t err;
        int timeout_ms;
        char *group;
        char state[32];
};

/* Sends the request of a call on librdkafka's main thread. It may come after the caller has given
 * up, so it has its own reference to the queue. */
static rd_kafka_op_res_t op_send(rd_kafka_t *rk, rd_kafka_q_t *rkq, rd_kafka_op_t *rko) {
        struct call *call   = rko->rko_u.offset_commit.opaque;
        rd_kafka_q_t *queue = call->queue; /* the answer may free the call */
        if (rko->rko_err != RD_KAFKA_RESP_ERR__DESTROY)
                call->send(rk, call);
        rd_kafka_q_destroy(queue);
        return RD_KAFKA_OP_RES_HANDLED;
}

/* Sends the request on librdkafka's main thread, the only one that may look for coordinators and
 * count requests. Waits for the answer, whose handler runs on the calling thread. */
static rd_kafka_resp_err_t call_run(rd_kafka_t *rk,
                                    void (*send)(rd_kafka_t *rk, struct call *call),
                                    struct call *call,
                                    int timeout_ms) {
        rd_ts_t deadline   = rd_timeout_init(timeout_ms);
        rd_kafka_op_t *rko = rd_kafka_op_new_cb(rk, RD_KAFKA_OP_OFFSET_COMMIT, op_send);
        rko->rko_u.offset_commit.opaque = call; /* the one operation with room for a pointer */
        call->send                      = send;
        call->queue                     = rd_kafka_q_new(rk);
        call->timeout_ms                = timeout_ms;
        rd_kafka_q_keep(call->queue);
        rd_kafka_q_enq(rk->rk_ops, rko);
        while (!call->done && !rd_timeout_expired(rd_timeout_remains(deadline)))
                rd_kafka_q_serve(call->queue, rd_timeout_remains(deadline), 0,
                                 RD_KAFKA_Q_CB_CALLBACK, rd_kafka_poll_cb, NULL);
        rd_kafka_q_destroy_owner(call->queue);
        return call->done ? call->err : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

/* A call without an answer is not freed: its handler may still run. */
static void call_destroy(struct call *call) {
        if (!call->done)
                return;
        RD_IF_FREE(call->group, rd_free);
        rd_free(call);
}

static rd_kafka_error_t *failed(rd_kafka_resp_err_t err) {
        switch (err) {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
                return NULL;
        case RD_KAFKA_RESP_ERR__TRANSPORT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
        case RD_KAFKA_RESP_ERR__WAIT_COORD:
        case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
        case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
                return rd_kafka_error_new_retriable(err, "%s", rd_kafka_err2str(err));
        default:
                return rd_kafka_error_new(err, "%s", rd_kafka_err2str(err));
        }
}

/*
 * The state of the transactional id: DescribeTransactions (KIP-664, Kafka 3.0).
 */

static void handle_describe(rd_kafka_t *rk,
                            rd_kafka_broker_t *rkb,
                            rd_kafka_resp_err_t err,
                            rd_kafka_buf_t *rkbuf,
                            rd_kafka_buf_t *request,
                            void *opaque) {
        const int log_decode_errors = LOG_ERR;
        struct call *call           = opaque;
        int32_t count;
        int16_t code;
        rd_kafkap_str_t id, state;

        if (err)
                goto done;
        rd_kafka_buf_read_throttle_time(rkbuf);
        rd_kafka_buf_read_arraycnt(rkbuf, &count, 1);
        if (count != 1) {
                err = RD_KAFKA_RESP_ERR__BAD_MSG;
                goto done;
        }
        rd_kafka_buf_read_i16(rkbuf, &code);
        rd_kafka_buf_read_str(rkbuf, &id);
        rd_kafka_buf_read_str(rkbuf, &state);
        if (code == TRANSACTIONAL_ID_NOT_FOUND)
                goto done;
        err = code;
        if (!err)
                rd_snprintf(call->state, sizeof(call->state), "%.*s", RD_KAFKAP_STR_PR(&state));
        goto done;

err_parse:
        err = rkbuf->rkbuf_err;
done:
        call->err  = err;
        call->done = rd_true;
}

static rd_kafka_resp_err_t send_describe(rd_kafka_broker_t *rkb,
                                         rd_kafka_op_t *rko,
                                         rd_kafka_replyq_t replyq,
                                         rd_kafka_resp_cb_t *handler,
                                         void *opaque) {
        rd_kafka_buf_t *request;
        if (rd_kafka_broker_ApiVersion_supported(rkb, RD_KAFKAP_DescribeTransactions, 0, 0, NULL) ==
            -1)
                return RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
        request =
            rd_kafka_buf_new_flexver_request(rkb, RD_KAFKAP_DescribeTransactions, 1, 64, rd_true);
        rd_kafka_buf_write_arraycnt(request, 1);
        rd_kafka_buf_write_str(request, rkb->rkb_rk->rk_conf.eos.transactional_id, -1);
        rd_kafka_buf_ApiVersion_set(request, 0, 0);
        rd_kafka_broker_buf_enq_replyq(rkb, request, replyq, handler, opaque);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void describe(rd_kafka_t *rk, struct call *call) {
        rd_kafka_coord_req(rk, RD_KAFKA_COORD_TXN, rk->rk_conf.eos.transactional_id, send_describe,
                           NULL, 0, call->timeout_ms, RD_KAFKA_REPLYQ(call->queue, 0),
                           handle_describe, call);
}

/* Writes the name of the state that the coordinator knows, such as "CompleteCommit", to `state`;
 * nothing if it does not know the id. */
rd_kafka_error_t *
nik_describe_transaction(rd_kafka_t *rk, char *state, size_t size, int timeout_ms) {
        struct call *call       = rd_calloc(1, sizeof(*call));
        rd_kafka_resp_err_t err = call_run(rk, describe, call, timeout_ms);
        rd_snprintf(state, size, "%s", call->state);
        call_destroy(call);
        return failed(err);
}

/*
 * Partitions without a record.
 */

/* Adds a partition to the open transaction. librdkafka sends the request later:
 * nik_awaits_partitions shows whether it was answered, nik_transaction_error whether it failed. */
rd_kafka_error_t *
nik_add_partition(rd_kafka_t *rk, const char *name, int32_t partition, int timeout_ms) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_resp_err_t err    = RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_toppar_t *rktp    = NULL;
        rd_kafka_topic_t *topic    = rd_kafka_topic_new(rk, name, NULL);
        rd_bool_t may_ask          = rd_true;

        if (!topic)
                return failed(rd_kafka_last_error());
        while (!err) {
                rd_kafka_topic_rdlock(topic);
                rktp = rd_kafka_toppar_get(topic, partition, 0);
                rd_kafka_topic_rdunlock(topic);
                if (rktp || !may_ask)
                        break;
                /* The client has not seen this topic. */
                may_ask = rd_false;
                err     = rd_kafka_metadata(rk, 0, topic, &metadata, timeout_ms);
                if (!err)
                        rd_kafka_metadata_destroy(metadata);
        }
        if (rktp) {
                rd_kafka_txn_add_partition(rktp);
                rd_kafka_toppar_destroy(rktp);
        } else if (!err) {
                err = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
        }
        rd_kafka_topic_destroy(topic);
        return failed(err);
}

/* Whether the coordinator has not yet confirmed all partitions of the transaction. */
int nik_awaits_partitions(rd_kafka_t *rk) {
        int awaits;
        mtx_lock(&rk->rk_eos.txn_pending_lock);
        awaits = !TAILQ_EMPTY(&rk->rk_eos.txn_pending_rktps) ||
                 !TAILQ_EMPTY(&rk->rk_eos.txn_waitresp_rktps);
        mtx_unlock(&rk->rk_eos.txn_pending_lock);
        return awaits;
}

/* Why the open transaction cannot be committed any more; null if it can. */
rd_kafka_error_t *nik_transaction_error(rd_kafka_t *rk) {
        rd_kafka_resp_err_t err;
        rd_kafka_rdlock(rk);
        err = rk->rk_eos.txn_err;
        rd_kafka_rdunlock(rk);
        return failed(err);
}

/*
 * A group without offsets.
 */

static void handle_add_group(rd_kafka_t *rk,
                             rd_kafka_broker_t *rkb,
                             rd_kafka_resp_err_t err,
                             rd_kafka_buf_t *rkbuf,
                             rd_kafka_buf_t *request,
                             void *opaque) {
        const int log_decode_errors = LOG_ERR;
        struct call *call           = opaque;
        int16_t code;

        if (err)
                goto done;
        rd_kafka_buf_read_throttle_time(rkbuf);
        rd_kafka_buf_read_i16(rkbuf, &code);
        err = code;
        goto done;

err_parse:
        err = rkbuf->rkbuf_err;
done:
        call->err  = err;
        call->done = rd_true;
}

static void add_group(rd_kafka_t *rk, struct call *call) {
        char text[256];
        /* Refused only by brokers that know no transactions. */
        if (!rd_kafka_AddOffsetsToTxnRequest(
                rk->rk_eos.txn_coord, rk->rk_conf.eos.transactional_id, rd_kafka_idemp_get_pid(rk),
                call->group, text, sizeof(text), RD_KAFKA_REPLYQ(call->queue, 0), handle_add_group,
                call))
                rk->rk_eos.txn_req_cnt++; /* so that the end of the transaction is sent */
}

/* Adds the partition of the group's offsets to the open transaction. */
rd_kafka_error_t *nik_add_group(rd_kafka_t *rk, const char *group, int timeout_ms) {
        struct call *call = rd_calloc(1, sizeof(*call));
        rd_kafka_resp_err_t err;
        call->group = rd_strdup(group);
        err         = call_run(rk, add_group, call, timeout_ms);
        call_destroy(call);
        return failed(err);
}

/* Makes the abort of the open transaction raise the producer epoch. librdkafka does not do so after
 * a broker refused a batch: the sequence numbers then have a gap, and the next transaction fails.
 */
void nik_renumber(rd_kafka_t *rk) {
        rd_kafka_wrlock(rk);
        rk->rk_eos.txn_requires_epoch_bump = rd_true;
        rd_kafka_wrunlock(rk);
}

/* `losses` is an earlier result of nik_coordinator_losses. If the connection is lost again before
 * the next transaction reaches the coordinator, the transaction can only be aborted. Any connection
 * will do if `losses` is negative. */
void nik_require_connection(rd_kafka_t *rk, int losses) {
        rk->rk_eos.txn_coord_conn = losses < 0 ? 0 : losses + 1;
}

/* Whether the transaction coordinator can be reached. */
int nik_coordinator_is_up(rd_kafka_t *rk) {
        rd_kafka_broker_t *coordinator = rk->rk_eos.txn_coord;
        int is_up                      = 0;
        if (coordinator) {
                rd_kafka_broker_lock(coordinator);
                is_up = rd_kafka_broker_state_is_up(coordinator->rkb_state);
                rd_kafka_broker_unlock(coordinator);
        }
        return is_up;
}

/* How often the connection to the transaction coordinator was lost. */
int nik_coordinator_losses(rd_kafka_t *rk) {
        rd_kafka_broker_t *coordinator = rk->rk_eos.txn_coord;
        return coordinator ? rd_atomic32_get(&coordinator->rkb_c.disconnects) : 0;
}
