// modbus-serial (npm) as a master: reads registers in turn and says how that went, as drive.py does.
//
//   NODE_PATH=.../node_modules node modbus_serial.cjs modbus-serial '{"port": "/dev/pts/7", ...}'
//   NODE_PATH=.../node_modules node modbus_serial.cjs modbus-serial --version
"use strict";

const COUNT = 2;
// Without a time-out of its own it would wait for a dead meter for ever.
const TIMEOUT_MS = 300;

const Modbus = require("modbus-serial");

async function drive(task) {
  const client = new Modbus();
  await client.connectRTUBuffered(task.port, { baudRate: task.baud });
  client.setTimeout(task.timeout_s === null ? TIMEOUT_MS : 1000 * task.timeout_s);
  const done = { right: 0, wrong: 0, none: 0, cpu_s: 0 };
  const began = process.cpuUsage();
  for (let at = 0; at < task.reads; at += 1) {
    const [unit, address] = task.order[at % task.order.length];
    client.setID(unit);
    try {
      const { data } = await client.readHoldingRegisters(address, COUNT);
      const right = data.length === COUNT &&
        data.every((value, place) => value === ((unit << 8) | ((address + place) & 0xff)));
      done[right ? "right" : "wrong"] += 1;
    } catch {
      done.none += 1;
    }
  }
  const spent = process.cpuUsage(began);
  done.cpu_s = (spent.user + spent.system) / 1e6;
  console.log(JSON.stringify(done));
  process.exit(0);
}

const word = process.argv[3];
if (word === "--version") {
  const { version } = require("modbus-serial/package.json");
  console.log(`${version} (Node ${process.versions.node})`);
} else {
  drive(JSON.parse(word));
}
