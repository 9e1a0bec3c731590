import type { Model } from '../../models/model';
import type { Plan } from '../../plan/types';
import { type DeviceOptions, type OpenedDevice, openDevice } from './open-device';
import { placementOf, readPlacement, writePlacement } from './placement-file';

/** The memories a model is placed in beside the host's. */
export interface Places {
  /** Null where the host computes all. Its executor is the caller's to dispose. */
  readonly device: OpenedDevice | null;
  /** Keeps what a plan decided, where `planFile` is to be written. */
  readonly keep: (plan: Plan) => Promise<void>;
}

/**
 * Opens the device that options, or the placement in `planFile`, ask for. Throws `OptionError`, `FormatError` for a plan
 * file that is not this model's, and file system errors.
 */
export async function openPlaces(
  model: Model,
  options: DeviceOptions & { readonly onWarning: (message: string) => void },
): Promise<Places> {
  const { planFile } = options;
  const placed = planFile === undefined ? null : await readPlacement(planFile, model);
  const provider = options.provider ?? placed?.provider ?? undefined;
  const opened = await openDevice({ ...options, provider, placed: placed?.onDevice ?? null });
  const segmentBytes = placed?.segmentBytes ?? undefined;
  const device = opened && { ...opened, grant: { ...opened.grant, segmentBytes } };
  return {
    device,
    keep: async (plan) => {
      if (planFile !== undefined && placed === null)
        await writePlacement(planFile, placementOf(plan, model, device?.provider ?? null));
    },
  };
}
