import { floats } from '@airllm/kernels';
import type { Codec } from '../source';

/** How the codec `bitsandbytes-int8` reads its inputs: `weight` (I8) and `SCB`. */
export interface BitsandbytesInt8Params {
  readonly scale: 'F32' | 'F16' | 'BF16';
}

/** Codes as they are; scales = SCB / 127. */
export const bitsandbytesInt8: Codec = {
  name: 'bitsandbytes-int8',

  rowStep: () => 1,

  convertRows({ params, shape, from, to, read, out }) {
    const columns = shape.at(-1)!;
    out.codes?.set(read('weight', from * columns, (to - from) * columns));
    if (out.scales === undefined) return;
    const { scale } = params as BitsandbytesInt8Params;
    const width = scale === 'F32' ? 4 : 2;
    const view = new DataView(out.scales.buffer, out.scales.byteOffset, out.scales.byteLength);
    const statistics = floats(scale, read('SCB', from * width, (to - from) * width));
    for (const [i, statistic] of statistics.entries()) view.setFloat32(4 * i, statistic / 127, true);
  },
};
