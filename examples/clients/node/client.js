// Sends four requests to nik-stream and reads the outcomes, with KafkaJS.
//
//     npm ci
//     node client.js
//
// BOOTSTRAP_SERVERS names the brokers, localhost:9092 by default. KafkaJS is not maintained;
// @confluentinc/kafka-javascript has the same interface on librdkafka and is compiled when it is installed.
import { randomUUID } from 'node:crypto'
import kafkajs from 'kafkajs'
import { compressFrame, decompressFrame } from 'lz4-napi'

// Outcomes are compressed with LZ4, and KafkaJS has no codec for it.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = () => ({
  compress: ({ buffer }) => compressFrame(buffer),
  decompress: (buffer) => decompressFrame(buffer)
})
const brokers = (process.env.BOOTSTRAP_SERVERS ?? 'localhost:9092').split(',')
const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.ERROR })

// Send NIKs as strings. A JavaScript number is exact up to 2^53 = 9007199254740992 only: JSON.stringify([9171010101900003]) is
// [9171010101900004], another NIK, without an error. And 0123 is 83.
const asked = [
  { nik: ['3273010101900001', '1234567891234567'], process: 'limited' },
  { nik: ['3273010101900001'], process: 'full' },
  { nik: [{ nik: '3273010101900001', birth_date: '1990-01-11', gender: 'Man' }, '1234567891234567'], process: 'explain' },
  { nik: ['3273010101900001'], process: 'fast' } // an unknown process
]
const keys = asked.map(() => randomUUID()) // your own, such as application ids; outcomes have the same keys

const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 }) // a retry does not create a second request
await producer.connect()
const messages = asked.map((request, at) => ({ key: keys[at], value: JSON.stringify(request) }))
await producer.send({ topic: 'nik.requests', messages })
await producer.disconnect()

const consumer = kafka.consumer({ groupId: 'client-node', readUncommitted: false }) // uncommitted records are not outcomes
await consumer.connect()
await consumer.subscribe({ topics: ['nik.results', 'nik.failures'], fromBeginning: true })
const waiting = new Map(keys.map((key, at) => [key, at + 1])) // requests without an outcome
const all = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error('no outcome after a minute')), 60_000).unref()
  // The offset is committed after this returns. A crash before that repeats the outcome, so process it idempotently.
  const eachMessage = async ({ topic, message }) => {
    const key = message.key?.toString()
    if (waiting.has(key)) { // other clients have outcomes here too
      tell(waiting.get(key), topic, message)
      waiting.delete(key)
    }
    if (waiting.size === 0) resolve()
  }
  consumer.run({ eachMessage }).catch(reject)
})
await all.finally(() => consumer.disconnect())

function tell (number, topic, message) {
  if (topic === 'nik.failures') {
    console.log(number, 'failed:', message.headers['nik-failure-reason'].toString())
    return
  }
  const { data } = JSON.parse(message.value)
  if (Array.isArray(data)) { // explain: one entry for each readable element, in the order sent
    for (const { nik, sections, declared } of data) {
      const reasons = Object.entries(sections).filter(([, { reason }]) => reason).map(([name, { reason }]) => `${name} ${reason}`)
      const compared = Object.entries(declared ?? {}).filter(([name]) => name !== 'consistent').map((it) => it.join(' '))
      console.log(number, nik, [...reasons, ...compared].join(', '))
    }
    return
  }
  for (const [nik, told] of Object.entries(data)) {
    const { area, dob } = told.data ?? {}
    console.log(number, nik, dob ? `${area.value.district}, born ${dob.value.dob}` : told ? 'valid' : 'not valid')
  }
}
