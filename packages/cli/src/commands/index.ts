import type { Command } from '../command';

/** What the overview says of a command, and where the rest of it is. */
export interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Commands are loaded when they are called: help and version need none of what they import. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  run: {
    summary: 'Generate text, or chat.',
    load: async () => (await import('./run')).run,
  },
  batch: {
    summary: 'Answer a file of requests in OpenAI’s Batch format.',
    load: async () => (await import('./batch')).batch,
  },
  inspect: {
    summary: 'Say what a model is: parameters, dtypes, bytes per layer, size of its state.',
    load: async () => (await import('./inspect')).inspect,
  },
  estimate: {
    summary: 'Say what would be kept in memory and what streamed, and the least memory that works.',
    load: async () => (await import('./estimate')).estimate,
  },
  doctor: {
    summary: 'Measure this machine, and say how fast a model will be and what would make it faster.',
    load: async () => (await import('./doctor')).doctor,
  },
  shard: {
    summary: 'Split a checkpoint into one file per layer, with checksums.',
    load: async () => (await import('./shard')).shard,
  },
  perplexity: {
    summary: 'Measure how well a model predicts a text.',
    load: async () => (await import('./perplexity')).perplexity,
  },
  pull: {
    summary: 'Download a model into the Hugging Face cache; an interrupted one goes on where it stopped.',
    load: async () => (await import('./pull')).pull,
  },
  ls: {
    summary: 'List the models on this machine: downloaded, converted, split.',
    load: async () => (await import('./ls')).ls,
  },
  show: {
    summary: 'Say what there is of one model: revisions, files, copies.',
    load: async () => (await import('./show')).show,
  },
  rm: {
    summary: 'Remove a model, keeping what another revision needs.',
    load: async () => (await import('./rm')).rm,
  },
  verify: {
    summary: 'Read a split checkpoint back and compare every byte with its checksums.',
    load: async () => (await import('./verify')).verify,
  },
};
