import { GraphError } from './errors';
import type { RunCall, WeightBytes } from './executor';
import { KvState } from './state/kv-state';

/** A call as executors take it that compute from the host's memory. */
export interface HostCall extends Omit<RunCall, 'weights' | 'states'> {
  readonly weights: readonly (WeightBytes | undefined)[];
  readonly states: readonly (readonly KvState[])[];
}

/** Throws {@link GraphError} where weights or a state of the call lie on another executor's device. */
export function hostCall(call: RunCall): HostCall {
  const { weights, states } = call;
  return { ...call, weights: hostWeights(weights), states: states.map((sequences) => sequences.map(hostState)) };
}

export function hostWeights(weights: RunCall['weights']): HostCall['weights'] {
  if ('deviceBytes' in weights) throw new GraphError('weights', 'they were uploaded to the device of another executor');
  return weights;
}

export function hostState(state: RunCall['states'][number][number]): KvState {
  if (KvState.isInstance(state)) return state;
  throw new GraphError('state', 'it lies on the device of another executor');
}
