/** Check carve.json before anything else reads it: its shape by the schema, and what no schema says. */
import { Validator } from "@cfworker/json-schema";

import * as format from "../bundle_format.js";
import { CarveError, ensure } from "../errors.js";
import { MANIFEST_SCHEMA } from "./manifest_schema.js";

const AGAIN = "Export the checkpoint again.";
const SHAPE = new Validator(MANIFEST_SCHEMA, "2020-12", false);
const OWN = ["type", "enum", "required", "minimum", "maximum", "minItems", "maxItems"]; // the others pass on
const MOST_DEPTH = 32; // twice what any manifest has: the validator calls itself

/**
 * Return a parsed carve.json, checked.
 *
 * Throws a CarveError: "unsupported" for another schema version, "bundle" for what is malformed.
 */
export function checkedManifest(document) {
  demand(depthOf(document, MOST_DEPTH) > 0, "nested too deeply");
  const version = document?.schema_version;
  ensure(
    version === format.SCHEMA_VERSION,
    "unsupported",
    `The manifest has schema version ${describe(version)}, this library reads ` +
      `${format.SCHEMA_VERSION}. Upgrade it, or export the checkpoint again.`,
  );
  const { valid, errors } = SHAPE.validate(document);
  demand(valid, () => deepest(errors));
  for (const name of pathsOf(document)) {
    const inside = !/^\/|\\|:|(^|\/)\.\.(\/|$)/.test(name);
    const message = `The manifest names '${name}', outside the bundle. Do not use it.`;
    ensure(inside, "bundle", message);
  }
  checkDecoder(document.decoder);
  checkPrompts(document.prompts, document.decoder.vocab_size);
  return document;
}

function demand(holds, what) {
  if (holds) return;
  const mistake = what instanceof Function ? what() : what;
  throw new CarveError("bundle", `carve.json is malformed: ${mistake}. ${AGAIN}`);
}

/** A value in a few characters. */
function describe(value) {
  const text = JSON.stringify(value) ?? "none";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** How much of the allowed depth a document leaves; 0 if it is deeper. */
function depthOf(value, left) {
  if (left === 0 || typeof value !== "object" || value === null) return left;
  return Object.values(value).reduce(
    (least, part) => Math.min(least, depthOf(part, left - 1)),
    left,
  );
}

/** Of a validator's complaints, the one about the innermost value: where the mistake is. */
function deepest(errors) {
  const depth = ({ instanceLocation }) => instanceLocation.split("/").length;
  const own = errors.filter(({ keyword }) => OWN.includes(keyword));
  const worst = (own.length ? own : errors).reduce((best, error) =>
    depth(error) > depth(best) ? error : best,
  );
  const place = worst.instanceLocation.replace(/^#\/?/, "") || "the document";
  return `${place}: ${worst.error.replace(/\.$/, "")}`;
}

function pathsOf({ files, graphs }) {
  return [...Object.keys(files), ...Object.values(graphs).map(({ file }) => file)];
}

function checkDecoder({ layers, tapped_layers: tapped, exit_layers: exit, ...decoder }) {
  const ordered = tapped.every((layer, i) => i === 0 || layer > tapped[i - 1]);
  demand(tapped.length && ordered, "tapped_layers are not distinct and in order");
  demand(tapped.at(-1) < layers, `there is no layer ${tapped.at(-1)} to tap`);
  const split = (exit ?? null) === null || (tapped[0] < exit && exit < layers);
  demand(split, `the decoder cannot be split after ${exit} layers`);
  demand(decoder.eos_token_ids.length, "there is no end-of-sequence id");
  demand((decoder.deepstack_layers ?? 0) <= (exit ?? layers), "too many deepstack_layers");
}

const isGiven = (value) => value !== null && value !== undefined;

function checkPrompts({ single, pair }, vocabulary) {
  for (const [name, segments, images] of [
    ["single", single, [0]],
    ["pair", pair, [0, 1]],
  ]) {
    for (const { ids, image, text } of segments) {
      const given = [ids, image, text].filter(isGiven);
      demand(
        given.length === 1,
        `a segment of the prompt ${name} has not one of ids, image and text`,
      );
      demand(
        (ids ?? []).every((id) => id < vocabulary),
        `the prompt ${name} has ids beyond the vocabulary`,
      );
    }
    const shown = segments.map(({ image }) => image).filter(isGiven);
    const texts = segments.map(({ text }) => text).filter(isGiven);
    const complete = String(shown) === String(images) && texts.length === 1;
    demand(
      complete && texts[0].includes("{text}"),
      `the prompt ${name} needs images ${images} and {text} once`,
    );
  }
  sharedPrefixLength({ single, pair });
}

/** Return how many segments both prompts start with, through the first image. */
export function sharedPrefixLength({ single, pair }) {
  const start = single.slice(0, single.findIndex(({ image }) => isGiven(image)) + 1);
  const shared = start.every((segment, i) => JSON.stringify(segment) === JSON.stringify(pair[i]));
  demand(
    start.length > 0 && shared && start.every(({ text }) => !isGiven(text)),
    "the prompts do not start alike, with the image before the question",
  );
  return start.length;
}
