import { type Device, OnnxError } from '@airllm/kernels';
import { BudgetError } from '../../errors';
import type { Model } from '../../models/model';
import { planResidency } from '../../plan/residency';
import type { DeviceGrant, Plan, PlanOptions } from '../../plan/types';
import { gigabytes } from '../byte-size';

/** What others may take of a device between this and the first pass. */
const MARGIN = 1 / 10;

/**
 * A grant that the device has the memory for. Where it lacks what a plan needs, since others compute on it or less of it
 * was free than was granted, the model is planned anew with less, until it fits; null where nothing is left but the
 * host. One warning says so. Throws `BudgetError` where what was granted is too little from the beginning, and where a
 * placement that was made before does not fit: another one would compute other bytes.
 */
export async function fitDevice(
  model: Model,
  options: PlanOptions & { readonly device: DeviceGrant },
  device: Pick<Device, 'available'>,
  onWarning: (message: string) => void,
): Promise<DeviceGrant | null> {
  let grant = options.device;
  let plan = planResidency(model, options);
  let least: { readonly had: number; readonly needed: number } | null = null;
  while (plan.device !== null) {
    const needed = plan.device.bytes.total;
    const had = await availableOrNone(device, needed);
    if (had >= needed) {
      if (least !== null) onWarning(`airllm: ${shortage(least)}: planned anew with ${gigabytes(grant.bytes)}`);
      return grant;
    }
    least = { had, needed };
    grant = { ...grant, bytes: Math.floor((1 - MARGIN) * had) };
    const smaller = planOrNull(model, { ...options, device: grant });
    if (smaller === null) break;
    plan = smaller;
  }
  // Too small a grant says so itself.
  if (least === null) return grant;
  onWarning(`airllm: computing on the CPU, because ${shortage(least)}`);
  return null;
}

async function availableOrNone(device: Pick<Device, 'available'>, bytes: number): Promise<number> {
  try {
    return await device.available(bytes);
  } catch (error) {
    if (OnnxError.isInstance(error)) return 0;
    throw error;
  }
}

function planOrNull(model: Model, options: PlanOptions & { readonly device: DeviceGrant }): Plan | null {
  try {
    return planResidency(model, options);
  } catch (error) {
    if (BudgetError.isInstance(error) && typeof options.device.blocks === 'string') return null;
    throw error;
  }
}

function shortage({ had, needed }: { readonly had: number; readonly needed: number }): string {
  return `the GPU has ${gigabytes(had)} of the ${gigabytes(needed)} that were planned`;
}
