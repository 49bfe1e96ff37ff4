#!/usr/bin/node
// AWS SDK for JavaScript v3, by the contract in /clients/contract.py. Trust comes by NODE_EXTRA_CA_CERTS.
// Since 3.729 it puts a CRC32 of the body into presigned PUT URLs, although it has no body then;
// AWS_REQUEST_CHECKSUM_CALCULATION=when_required turns that off.

import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { readFileSync, writeSync } from "node:fs";

function client(access) {
  const once = { maxAttempts: 1, forcePathStyle: access?.addressing !== "virtual" };
  if (!access) return new S3Client(once);
  const credentials = {
    accessKeyId: access.access_key,
    secretAccessKey: access.secret_key,
    sessionToken: access.session_token,
  };
  return new S3Client({ ...once, endpoint: access.endpoint, region: access.region, credentials });
}

async function presign(task) {
  if (Object.keys(task.query ?? {}).length > 0) return { failed: "this client signs no further query parameters" };
  const commands = { GET: GetObjectCommand, PUT: PutObjectCommand, HEAD: HeadObjectCommand, DELETE: DeleteObjectCommand };
  const command = new commands[task.method]({ Bucket: task.bucket, Key: task.key });
  const signingDate = task.signed_at_s ? new Date(Date.now() + task.signed_at_s * 1000) : undefined;
  const url = await getSignedUrl(client(task.access), command, { expiresIn: task.expires_s, signingDate });
  return { url };
}

/** All pages; the last one answers for them. */
async function list(store, it) {
  const keys = [];
  let last;
  for await (const page of paginateListObjectsV2({ client: store }, { Bucket: it.bucket, Prefix: it.prefix })) {
    for (const entry of page.Contents ?? []) keys.push(entry.Key);
    last = page;
  }
  return { ...last, keys };
}

async function s3(task) {
  const [operation, it] = Object.entries(task.operation)[0];
  const target = { Bucket: it.bucket, Key: it.key };
  const command = {
    put: () => new PutObjectCommand({ ...target, Body: it.body }),
    get: () => new GetObjectCommand(target),
    head: () => new HeadObjectCommand(target),
    delete: () => new DeleteObjectCommand(target),
    "create-bucket": () => new CreateBucketCommand({ Bucket: it.bucket }),
  }[operation];
  try {
    const store = client(task.access);
    const response = operation === "list" ? await list(store, it) : await store.send(command());
    const outcome = { status: response.$metadata.httpStatusCode };
    if (response.$metadata.requestId) outcome.headers = { "x-amz-request-id": response.$metadata.requestId };
    if (operation === "get") outcome.body = await response.Body.transformToString();
    if (operation === "list") outcome.keys = response.keys;
    return outcome;
  } catch (error) {
    const status = error.$metadata?.httpStatusCode;
    if (!status) throw error;
    return { status, code: error.Code ?? error.name, message: error.message };
  }
}

/** What the library said, and what lay beneath it. */
function words(error) {
  const said = [];
  for (let at = error; at && said.length < 4; at = at.cause) said.push(at.message || at.code || String(at));
  return said.join(": ");
}

const task = JSON.parse(readFileSync(0, "utf8"));
let outcome;
try {
  if (task.presign) outcome = await presign(task.presign);
  else if (task.s3) outcome = await s3(task.s3);
  else outcome = { failed: "this client has no way to do `http`" };
} catch (error) {
  outcome = { failed: words(error) };
}
writeSync(1, JSON.stringify(outcome));
