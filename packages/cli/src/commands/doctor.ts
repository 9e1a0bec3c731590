import os from 'node:os';
import path from 'node:path';
import {
  buildModel,
  type DeviceOptions,
  type ExamineGpusOptions,
  examineGpus,
  type MachineSpeeds,
  type MemoryOptions,
  type Model,
  measureMachine,
  openDevice,
  type Plan,
  type PlanOptions,
  passSpeeds,
  planResidency,
  resolvePlanOptions,
  summarisePlan,
  weightDType,
} from '@airllm/runtime';
import { deviceArgs } from '../args/device';
import { engineArgs } from '../args/engine';
import { memoryArgs } from '../args/memory';
import { modelArgs } from '../args/model';
import { reportArgs } from '../args/output';
import { doctorSpeedArgs } from '../args/speed';
import { defineCommand } from '../command';
import { adviceFor } from '../doctor/advice';
import { type DoctorModel, type DoctorReport, doctorText } from '../doctor/report';
import { driveToMeasure } from '../estimate/drive-to-measure';
import { driveRate, speedOf } from '../estimate/speed';
import { EXIT } from '../exit-codes';
import { type ModelFiles, modelOf, openModelFiles } from '../model-files';
import { openExecutor } from '../open-executor';

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Measures this machine, and says how fast a model will be on it and what would make it faster.',
  positionals: [{ name: 'model', help: 'Folder or repository id; config.json is enough.', optional: true }],
  details: [
    'Takes a few seconds: reads files that are there from the drive, and computes with made-up weights.',
    'Where there is a graphics card, everything of onnxruntime that can drive it is measured, and the quickest is what --device takes from then on.',
    'With a model: the plan for the memory granted, the seconds a token will take, and what they would be after each change that helps.',
  ],
  examples: [
    ['airllm doctor', 'drive, memory and arithmetic of this machine'],
    ['airllm doctor ./Llama-3.1-70B --memory 16GB', 'how fast this model will be in 16 GB, and what to change'],
    ['airllm doctor ./model --device auto --vram 4GB', 'with a GPU: what it computes, and what the bus costs'],
    ['airllm doctor --dir /mnt/new-drive --write-temporary', 'what an empty drive can do'],
  ],
  groups: {
    speed: doctorSpeedArgs,
    memory: memoryArgs,
    device: deviceArgs,
    engine: engineArgs,
    model: modelArgs,
    output: reportArgs,
  },
  async run({ terminal, signal }, [source], values) {
    const { reader = 'direct' } = values.engine;
    const { dir, writeTemporary, disk } = values.speed;
    const files = source === undefined ? undefined : await openModelFiles(source, values.model, signal);
    const executor = await openExecutor(values.engine, terminal);
    const onWarning = (message: string) => terminal.tell(`${message}\n`);
    // Before a provider is taken: what is measured here says which.
    const gpus = values.device.device === 'cpu' ? null : await examineGpus({ ...gpusAsked(values.device), signal });
    const device = await openDevice({ ...values.device, onWarning });
    try {
      const readerKind = reader === 'auto' ? 'direct' : reader;
      // Before measuring, which makes the process larger.
      const planned = files && (await planFor(files, values.memory, readerKind, device?.grant));
      const dtype = planned && weightDType(planned.model);
      const drive = files === undefined ? {} : driveToMeasure(files);
      const machine = await measureMachine({
        dir: path.resolve(dir ?? drive.dir ?? files?.dir ?? '.'),
        writeTemporary: writeTemporary ?? (dir === undefined && drive.writeTemporary),
        executor,
        device: device?.executor,
        ...(dtype === undefined ? {} : { dtypes: [dtype] }),
        signal,
      });
      const report: DoctorReport = {
        machine: { ...machine, gpus, ...machineNames() },
        model: planned ? modelReport(planned, machine, disk, reader) : null,
      };
      await (values.output.json ? terminal.printJson(report) : terminal.print(doctorText(report)));
      return EXIT.ok;
    } finally {
      await device?.executor.dispose();
      await executor.dispose();
    }
  },
});

/** A provider that is named is the only one measured. */
function gpusAsked({ vram, provider }: DeviceOptions): ExamineGpusOptions {
  return { vram, ...(provider === undefined || provider === 'auto' ? {} : { providers: [provider] }) };
}

interface Planned {
  readonly files: ModelFiles;
  readonly model: Model;
  readonly plan: Plan;
  readonly planOptions: PlanOptions;
  readonly kvCacheDtype: MemoryOptions['kvCacheDtype'];
}

async function planFor(
  files: ModelFiles,
  memory: MemoryOptions,
  readerKind: Parameters<typeof resolvePlanOptions>[3],
  device: PlanOptions['device'],
): Promise<Planned> {
  const model = modelOf(files, memory);
  const planOptions = { ...(await resolvePlanOptions(files.dir, model, memory, readerKind)), device };
  const { kvCacheDtype } = memory;
  return { files, model, plan: planResidency(model, planOptions), planOptions, kvCacheDtype };
}

function modelReport(
  { files, model, plan, planOptions, kvCacheDtype }: Planned,
  machine: MachineSpeeds,
  disk: number | undefined,
  reader: string,
): DoctorModel {
  const dtype = weightDType(model);
  const { drive } = machine;
  const rate = disk ?? driveRate(drive, reader);
  const facts = {
    dir: files.dir,
    modelType: model.config.modelType,
    parameters: model.parameterCount,
    dtype,
    memory: planOptions.memory,
    contextLength: planOptions.contextLength,
    plan: summarisePlan(plan),
  };
  if (rate === undefined) return { ...facts, speed: null, advice: [] };
  const speeds = passSpeeds(machine, dtype, rate);
  const speed = speedOf(plan, model, speeds);
  const advice = adviceFor({
    model,
    plan,
    planOptions,
    speed,
    bufferedBytesPerSecond: disk === undefined ? drive?.buffered : undefined,
    halved: dtype === 'F32' ? buildModel(files.config, { dtype: 'BF16' }, { kvCacheDtype }) : undefined,
  });
  return { ...facts, speed, advice };
}

function machineNames() {
  return {
    cpu: os.cpus()[0]?.model.trim() || os.arch(),
    os: `${os.platform()} ${os.release()}`,
    node: process.versions.node,
  };
}
