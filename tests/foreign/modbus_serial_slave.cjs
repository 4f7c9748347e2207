// Meters whose Modbus is spoken by modbus-serial (npm), so that our two ends cannot agree on a
// mistake: a DDS238-2 ZN/SR at unit 2, an SDM230 at unit 3 and a relay board at unit 40, all open.
//
//   NODE_PATH=.../node_modules node tests/foreign/modbus_serial_slave.cjs /dev/pts/7
//
// Says `"ready"` on standard output, and of each line on standard input all writes that came, as
// JSON. Ends when standard input does.
"use strict";

const { ServerSerial } = require("modbus-serial");

const DDS = 2;
const SDM = 3;
const BOARD = 40;
const CHANNEL = 4;
const RELAY = 0x1a;
const SERIAL_NUMBER = 18074403;
const ILLEGAL_ADDRESS = 2;

const writes = [];
const contacts = new Map();
const dds = new Map([[0x0c, 2310], [0x0d, 0], [0x0e, 0], [RELAY, 0]]);

const refusal = () => Object.assign(new Error("illegal address"), { modbusErrorCode: ILLEGAL_ADDRESS });
// The server answers at every address: where nobody lives, its answer never comes.
const silence = () => new Promise(() => {});

function float(value, word) {
  const held = Buffer.alloc(4);
  held.writeFloatBE(value);
  return held.readUInt16BE(2 * word);
}

function held(registers, address) {
  if (!registers.has(address)) throw refusal();
  return registers.get(address);
}

function holding(address, unit) {
  if (unit === DDS) return held(dds, address);
  if (unit !== SDM) return silence();
  return held(new Map([[0xfc00, SERIAL_NUMBER >>> 16], [0xfc01, SERIAL_NUMBER & 0xffff]]), address);
}

function input(address, unit) {
  if (unit !== SDM) return silence();
  const closed = contacts.get(CHANNEL);
  const volts = closed ? 231 : 0;
  const amperes = closed ? 1.3 : 0;
  return held(new Map([
    [0, float(volts, 0)], [1, float(volts, 1)], [6, float(amperes, 0)], [7, float(amperes, 1)],
  ]), address);
}

function write(address, value, unit) {
  if (unit !== DDS) return silence();
  if (address !== RELAY) throw refusal();
  writes.push([unit, address, value]);
  dds.set(RELAY, value).set(0x0d, 130 * value);
}

function switchCoil(address, value, unit) {
  if (unit !== BOARD) return silence();
  writes.push([unit, address, Number(value)]);
  contacts.set(address, value);
}

const vector = {
  getHoldingRegister: holding,
  getInputRegister: input,
  getCoil: (address, unit) => (unit === BOARD ? contacts.get(address) === true : silence()),
  getDiscreteInput: (address, unit) => (unit === BOARD ? contacts.get(address) === true : silence()),
  setRegister: write,
  setCoil: switchCoil,
};

const server = new ServerSerial(vector, { port: process.argv[2], baudRate: 9600, interval: 10 });
server.on("initialized", () => console.log(JSON.stringify("ready")));
process.stdin.on("data", () => console.log(JSON.stringify(writes)));
process.stdin.on("end", () => process.exit(0));
