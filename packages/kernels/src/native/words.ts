/** `AIRLLM_NONE` of native/airllm.h. */
export const NONE = 0xffffffff;

/** 32-bit little-endian words, appended. */
export class Words {
  #view = new DataView(new ArrayBuffer(4096));
  #length = 0;

  integers(...values: readonly number[]): void {
    for (const value of values) this.#next().setUint32(this.#length - 4, value, true);
  }

  floats(...values: readonly number[]): void {
    for (const value of values) this.#next().setFloat32(this.#length - 4, value, true);
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer, 0, this.#length);
  }

  #next(): DataView {
    this.#length += 4;
    if (this.#length > this.#view.byteLength) {
      const larger = new Uint8Array(this.#view.byteLength * 2);
      larger.set(new Uint8Array(this.#view.buffer));
      this.#view = new DataView(larger.buffer);
    }
    return this.#view;
  }
}
