import type { Place } from './place';

// Windows refuses these stems whatever follows the first dot.
const RESERVED = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;
const MAX_STEM = 180;

/** Digits to print numbers with, so that a folder listing is in order. */
export function digitsFor(largest: number): number {
  return Math.max(2, String(largest).length);
}

/**
 * File names for places, safe on every file system whatever the tensors are called: no separators, no reserved or
 * overlong names, no two that differ in case alone.
 */
export class FileNames {
  readonly #taken = new Set<string>();

  /** `model.layers.07.safetensors`, `model.layers.07.experts.003.safetensors`, `embed.safetensors`. */
  claim(place: Place, layerDigits: number, expertDigits: number): string {
    const stem = safeStem(stemOf(place, layerDigits, expertDigits));
    let name = `${stem}.safetensors`;
    for (let copy = 2; this.#taken.has(name.toLowerCase()); copy++) name = `${stem}~${copy}.safetensors`;
    this.#taken.add(name.toLowerCase());
    return name;
  }
}

function stemOf(place: Place, layerDigits: number, expertDigits: number): string {
  if (place.stack === null) return place.role;
  const layer = `${place.stack}.${String(place.layer).padStart(layerDigits, '0')}`;
  return place.expert === null ? layer : `${layer}.experts.${String(place.expert).padStart(expertDigits, '0')}`;
}

function safeStem(stem: string): string {
  // The end holds the numbers, so an overlong name loses its beginning.
  const clean = stem.replace(/[^A-Za-z0-9._-]/g, '_').slice(-MAX_STEM);
  return RESERVED.test(clean) || clean.startsWith('.') ? `_${clean}` : clean;
}
