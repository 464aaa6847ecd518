// Reads an AsyncAPI document with the official parser and prints what is wrong with it, then holds its examples against its
// schemas, which the parser does not. Argument: the document.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DiagnosticSeverity } from '@stoplight/types';
import { Parser } from '@asyncapi/parser';
import Ajv from 'ajv/dist/2020.js';

const source = resolve(process.argv[2]);
const { document, diagnostics: all } = await new Parser().parse(await readFile(source, 'utf8'), { source });
// Tools read 3.0 today; the document is correct although 3.1 exists.
const diagnostics = all.filter(({ code }) => code !== 'asyncapi-latest-version');
for (const { severity, code, message, path, range } of diagnostics) {
  const kind = DiagnosticSeverity[severity].toLowerCase();
  console.error(`${source}:${range.start.line + 1}: ${kind}: ${message} (${code}, at ${path.join('.')})`);
}
// Warnings and hints count too: a description that is nearly right is wrong.
if (!document || diagnostics.length > 0) process.exit(1);

const ajv = new Ajv({ allErrors: true, strict: false });
let examples = 0;
for (const message of document.allMessages()) {
  for (const example of message.examples()) {
    for (const [part, schema, value] of [
      ['payload', message.payload(), example.payload()],
      ['headers', message.headers(), example.headers()],
    ]) {
      if (value === undefined) continue;
      examples += 1;
      if (ajv.validate(schema.json(), value)) continue;
      console.error(`${source}: error: the ${part} of the example ${example.name()} of ${message.id()}: ${ajv.errorsText()}`);
      process.exitCode = 1;
    }
  }
}

const [channels, operations, messages] = [document.allChannels(), document.allOperations(), document.allMessages()];
if (!process.exitCode) {
  console.log(`${channels.length} channels, ${operations.length} operations, ${messages.length} messages, ${examples} examples: nothing to report`);
}
