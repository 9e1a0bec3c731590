import { type Model, type PassSpeeds, type Plan, type PlanOptions, planResidency } from '@airllm/runtime';
import { type SpeedReport, speedOf } from '../estimate/speed';

/** A change, and the seconds of a token after it. */
export interface Advice {
  readonly change: string;
  readonly seconds: number;
}

interface Situation {
  readonly model: Model;
  readonly plan: Plan;
  readonly planOptions: PlanOptions;
  readonly speed: SpeedReport;
  /** Through the page cache, where that was measured. */
  readonly bufferedBytesPerSecond: number | undefined;
  /** The model with two bytes for each weight, where it has four. */
  readonly halved: Model | undefined;
}

/** What helps less than this is not worth a line. */
const LEAST_GAIN = 0.03;

/** What would make a token quicker, the most first; what would not is left out. */
export function adviceFor(situation: Situation): Advice[] {
  const { model, plan, planOptions, speed, bufferedBytesPerSecond, halved } = situation;
  const { speeds } = speed;
  const advice: Advice[] = [];
  const add = (change: string, of: { plan?: Plan; model?: Model; speeds?: Partial<PassSpeeds> }) => {
    const { token } = speedOf(of.plan ?? plan, of.model ?? model, { ...speeds, ...of.speeds });
    advice.push({ change, seconds: token.seconds });
  };
  if (plan.streamedBytes > 0) {
    const { memory = plan.bytes.total, weightsMemory, ...rest } = planOptions;
    const whole = planResidency(model, rest);
    const twice = { memory: 2 * memory, ...(weightsMemory === undefined ? {} : { weightsMemory: 2 * weightsMemory }) };
    const more = planResidency(model, { ...rest, ...twice });
    if (more.streamedBytes > 0) add(`twice the memory (${amount(2 * (weightsMemory ?? memory))})`, { plan: more });
    add(`memory for all weights (${amount(whole.bytes.total)})`, { plan: whole });
    add('a drive twice as fast', { speeds: { diskBytesPerSecond: 2 * speeds.diskBytesPerSecond } });
    if (bufferedBytesPerSecond !== undefined) {
      add('--reader plain: this drive reads faster through the page cache', {
        speeds: { diskBytesPerSecond: bufferedBytesPerSecond },
      });
    }
  }
  if (halved !== undefined) {
    add('weights in bfloat16: airllm shard <model> <out> --dtype bfloat16', {
      model: halved,
      plan: planResidency(halved, planOptions),
    });
  }
  if (plan.device !== null && plan.device.uploadedBytes > 0) {
    add('a bus twice as fast', { speeds: twiceTheBus(speeds) });
  }
  add('memory twice as fast (channels, clock)', {
    speeds: { dramBytesPerSecond: 2 * speeds.dramBytesPerSecond },
  });
  return advice
    .filter(({ seconds }) => seconds < (1 - LEAST_GAIN) * speed.token.seconds)
    .sort((a, b) => a.seconds - b.seconds);
}

function twiceTheBus({ device }: PassSpeeds): Partial<PassSpeeds> {
  return device ? { device: { ...device, uploadBytesPerSecond: 2 * device.uploadBytesPerSecond } } : {};
}

function amount(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
