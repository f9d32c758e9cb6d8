// OpenAI's client for JavaScript gets the answers of the Python runtime from `carve-run serve`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import OpenAI from "openai";

const { url, model, key, image, question, carve, answer, plain, bbox } = JSON.parse(
  readFileSync(process.env.CARVE_CHAT),
);
const client = new OpenAI({ baseURL: `${url}v1`, apiKey: key, maxRetries: 0 });
const picture = `data:image/jpeg;base64,${readFileSync(image).toString("base64")}`;
const content = [
  { type: "image_url", image_url: { url: picture } },
  { type: "text", text: question },
];
const request = { model, messages: [{ role: "user", content }], carve };

test("an answer", async () => {
  const done = await client.chat.completions.create(request);
  assert.equal(done.choices[0].message.content, answer);
  assert.equal(done.choices[0].finish_reason, "stop");
  assert.equal(done.carve.plain_answer, plain);
  assert.deepEqual(done.carve.bbox, bbox);
  assert.ok(done.usage.total_tokens > done.usage.completion_tokens);
});

test("an answer in pieces", async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...request, ...options })) {
    chunks.push(chunk);
  }
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), answer);
  assert.deepEqual(chunks.at(-1).carve.bbox, bbox);
  assert.ok(chunks.at(-1).usage.total_tokens);
});

test("a stream that is left", async () => {
  const stream = await client.chat.completions.create({ ...request, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk);
    break;
  }
  assert.equal((await client.chat.completions.create(request)).choices[0].message.content, answer);
});

test("models", async () => {
  const { data } = await client.models.list();
  assert.deepEqual(
    data.map(({ id }) => id),
    [model],
  );
});

const refusals = {
  "a temperature": [{ temperature: 1 }, OpenAI.BadRequestError, /temperature 1/],
  "another model": [{ model: "other" }, OpenAI.NotFoundError, /no model 'other'/],
  "an unknown setting": [{ carve: { shiny: 1 } }, OpenAI.BadRequestError, /no setting 'shiny'/],
};
for (const [name, [fields, kind, message]] of Object.entries(refusals)) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(client.chat.completions.create({ ...request, ...fields }), (error) => {
      assert.ok(error instanceof kind);
      assert.match(error.message, message);
      return true;
    });
  });
}

test("a wrong key", async () => {
  const stranger = new OpenAI({ baseURL: `${url}v1`, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(stranger.chat.completions.create(request), OpenAI.AuthenticationError);
});
