// What AsyncAPI's own parser and others' readers make of a document, as JSON on standard output:
//
//   NODE_PATH=.../node_modules node tests/foreign/read_asyncapi.cjs gateway/headend/asyncapi.yaml
//
// `diagnostics`: what the parser finds wrong. `plain`: the document as js-yaml reads it.
// `operations`: what somebody with it is to do, by the parser. `unlike`: of each message that has an
// example which its schema does not take, what Ajv says; of a signed one the payload is looked at too.
"use strict";

const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");
const Ajv = require("ajv");
const yaml = require("js-yaml");

function operationsIn(document) {
  return document.operations().all().map((operation) => {
    const [channel] = operation.channels().all();
    const { qos, retain } = operation.bindings().get("mqtt").value();
    const messages = operation.messages().all().map((message) => message.name());
    return { action: operation.action(), address: channel.address(), qos, retain, messages };
  });
}

function signedIn(payload) {
  return [payload].flat().map((jws) => JSON.parse(Buffer.from(jws.split(".")[1], "base64url").toString()));
}

function unlikeIn(plain) {
  const ajv = new Ajv({ strict: false, allErrors: true });
  ajv.addSchema({ $id: "document", components: plain.components });
  const unlike = {};
  for (const [name, message] of Object.entries(plain.components.messages)) {
    const look = (schema, value) => {
      const taken = ajv.compile({ $ref: `document${schema.$ref}` });
      if (!taken(value)) unlike[name] = ajv.errorsText(taken.errors);
    };
    for (const { payload } of message.examples) {
      look(message.payload, payload);
      if (message["x-jws"]) signedIn(payload).forEach((value) => look(message["x-jws"].payload, value));
    }
  }
  return unlike;
}

async function main() {
  const text = readFileSync(process.argv[2], "utf-8");
  const { document, diagnostics } = await new Parser().parse(text);
  const said = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }));
  const plain = yaml.load(text);
  const operations = document ? operationsIn(document) : [];
  const found = { diagnostics: said, plain, operations, unlike: unlikeIn(plain) };
  process.stdout.write(JSON.stringify(found));
}

main();
