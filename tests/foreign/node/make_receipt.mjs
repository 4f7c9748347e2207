// Makes a receipt with nothing but Node (18 or newer):
//   node make_receipt.mjs receipt-1.json 100200300 23014477 1795420800000 1798012800000
// Arguments: key file of `feeder-gateway utility keys`, account, meter, ledger time of the payment,
// time until which it has to be handed in (both milliseconds UTC). Prints the compact JWS.
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const [keyFile, account, meter, n, exp] = process.argv.slice(2);
const file = JSON.parse(readFileSync(keyFile, "utf8"));

// The key file holds the bare private and public part; as a JWK they make a key.
function privateKey({ alg, private: d, public: open }) {
  if (alg === "Ed25519") {
    return createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x: open }, format: "jwk" });
  }
  const point = Buffer.from(open, "base64url"); // 04, x, y
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((p) => p.toString("base64url"));
  return createPrivateKey({ key: { kty: "EC", crv: "P-256", d, x, y }, format: "jwk" });
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const header = { alg: file.alg, kid: file.kid, typ: "fg-receipt+jws" };
const payload = { account, meter, n: Number(n), paid_at: Number(n), exp: Number(exp) };

const signed = `${base64url(header)}.${base64url(payload)}`;
const key = privateKey(file);
const signature = file.alg === "Ed25519"
  ? sign(null, Buffer.from(signed), key)
  : sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }); // r and s, not DER
console.log(`${signed}.${signature.toString("base64url")}`);
