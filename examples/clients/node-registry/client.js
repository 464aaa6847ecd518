// Sends requests with Confluent's JSON Schema serializer and reads the outcomes with its deserializer.
//
//     npm ci
//     node client.js
//
// BOOTSTRAP_SERVERS names the brokers and SCHEMA_REGISTRY the registry. nik-stream runs with topics.framing = "either" and with the ids
// that the registry gave to the schemas of results and failures.
import { randomUUID } from 'node:crypto'
import registries from '@confluentinc/schemaregistry'
import kafkajs from 'kafkajs'
import { compressFrame, decompressFrame } from 'lz4-napi'

// Outcomes are compressed with LZ4, and KafkaJS has no codec for it.
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = () => ({
  compress: ({ buffer }) => compressFrame(buffer),
  decompress: (buffer) => decompressFrame(buffer)
})
const brokers = (process.env.BOOTSTRAP_SERVERS ?? 'localhost:9092').split(',')
const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.ERROR })
const [requests, results, failures] = (process.env.TOPICS ?? 'nik.requests nik.results nik.failures').split(' ')

const { SchemaRegistryClient, SerdeType, JsonSerializer, JsonDeserializer } = registries
const registry = new SchemaRegistryClient({ baseURLs: [process.env.SCHEMA_REGISTRY ?? 'http://localhost:8081'] })
// It derives the schema from the request, and registers it.
const serializer = new JsonSerializer(registry, SerdeType.VALUE, { autoRegisterSchemas: true })
// It fetches the schema of each outcome, and checks the outcome. Strict, it would warn of the conditions in these schemas.
const deserializer = new JsonDeserializer(registry, SerdeType.VALUE, { validate: true, strict: false })

const asked = [
  { nik: ['3273010101900001', '1234567891234567'], process: 'limited' },
  { nik: ['3273010101900001'], process: 'full' },
  { nik: ['3273010101900001'], process: 'fast' } // an unknown process
]
const keys = asked.map(() => randomUUID())

const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await producer.connect()
const values = await Promise.all(asked.map((request) => serializer.serialize(requests, request)))
await producer.send({ topic: requests, messages: values.map((value, at) => ({ key: keys[at], value })) })
await producer.disconnect()

const consumer = kafka.consumer({ groupId: 'client-node-registry', readUncommitted: false })
await consumer.connect()
await consumer.subscribe({ topics: [results, failures], fromBeginning: true })
const waiting = new Map(keys.map((key, at) => [key, at + 1])) // requests without an outcome
const all = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error('no outcome after a minute')), 60_000).unref()
  // The offset is committed after this returns.
  const eachMessage = async ({ topic, message }) => {
    const key = message.key?.toString()
    if (waiting.has(key)) {
      tell(waiting.get(key), await deserializer.deserialize(topic, message.value))
      waiting.delete(key)
    }
    if (waiting.size === 0) resolve()
  }
  consumer.run({ eachMessage }).catch(reject)
})
await all.finally(() => consumer.disconnect())

function tell (number, { message, data }) {
  if (message === 'failed') {
    console.log(number, 'failed', ...data)
    return
  }
  for (const [nik, told] of Object.entries(data)) console.log(number, nik, told.valid ?? told ? 'valid' : 'not valid')
}
