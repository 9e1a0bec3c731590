import { openPlaces, planResidency, resolvePlanOptions, summarisePlan, tokenizerMemory } from '@airllm/runtime';
import { deviceArgs } from '../args/device';
import { engineArgs } from '../args/engine';
import { memoryArgs } from '../args/memory';
import { modelArgs } from '../args/model';
import { reportArgs } from '../args/output';
import { estimateSpeedArgs } from '../args/speed';
import { defineCommand } from '../command';
import { driveToMeasure } from '../estimate/drive-to-measure';
import { estimateText } from '../estimate/report';
import { estimateSpeed } from '../estimate/speed';
import { EXIT } from '../exit-codes';
import { convertedBytes, modelOf, openModelFiles } from '../model-files';
import { openExecutor } from '../open-executor';
import { DelayNotes } from '../output/delay-notes';

export const estimate = defineCommand({
  name: 'estimate',
  summary: 'Says how a model would run in the memory granted, and how fast.',
  positionals: [
    {
      name: 'model',
      help: 'Folder, file with weights, or repository (org/name, org/name@revision, org/name:Q4_K_M); config.json is enough.',
    },
  ],
  details: [
    'Takes the options of airllm run and prints the plan it would make: what stays in memory, what is streamed for every token, and the least memory that works. A budget below that ends with exit code 3 and the number needed.',
    'What the process itself takes is measured here and now, with room for the tokenizer if the folder has one.',
    'Of a repository that is not here, the list of files, the configuration and the headers of the weights are fetched, less than a megabyte for the largest models (of GGUF files, whose headers hold the tokenizer, up to 13 MB), and the download, the disk it needs and the plan are told. The drive of the cache is then measured by a temporary file.',
    'Where the weights are here, or in a repository, a few seconds of measuring drive, memory and arithmetic tell the seconds of a token; --disk reckons with another drive, and airllm doctor says what would make it faster.',
  ],
  examples: [
    ['airllm estimate ./Llama-3.1-70B --memory 8GB --context 4096', 'the plan for 8 GB'],
    ['airllm estimate meta-llama/Llama-3.1-405B --memory 8GB', 'before anything large is downloaded'],
    ['airllm estimate ./config-only --memory 8GB --disk 3GB/s', 'how fast with a drive that is not here'],
    ['airllm estimate ./Llama-3.1-70B --no-measure --json | jq .floor', 'the least that works'],
  ],
  groups: {
    memory: memoryArgs,
    device: deviceArgs,
    speed: estimateSpeedArgs,
    engine: engineArgs,
    model: modelArgs,
    output: reportArgs,
  },
  async run({ terminal, signal }, [source], values) {
    const { reader = 'direct' } = values.engine;
    const files = await openModelFiles(source!, { ...values.model, onDelay: new DelayNotes(terminal).show }, signal);
    const model = modelOf(files, values.memory);
    // As large as the process that would run it.
    const executor = await openExecutor(values.engine, terminal);
    const onWarning = (message: string) => terminal.tell(`${message}\n`);
    const { device } = await openPlaces(model, { ...values.device, onWarning });
    try {
      // Direct reads are the larger ones: a plan made for them fits a drive that does without.
      const readerKind = reader === 'auto' ? 'direct' : reader;
      const memory = await resolvePlanOptions(files.dir, model, values.memory, readerKind, executor.info);
      const processBytes = memory.processBytes + tokenizerMemory(files.download?.tokenizer ?? 0);
      const options = { ...memory, processBytes, device: device?.grant };
      const plan = planResidency(model, options);
      const estimated = {
        dir: files.dir,
        modelType: model.config.modelType,
        parameters: model.parameterCount,
        download: files.download,
        convertedBytes: convertedBytes(files),
        memory: options.memory,
        weightsMemory: options.weightsMemory,
        contextLength: options.contextLength,
        kvCacheDtype: values.memory.kvCacheDtype ?? 'float32',
        executor: executor.info.name,
        isa: executor.info.isa,
        computeDtype: executor.info.computeDtype,
        ...summarisePlan(plan),
        speed: await estimateSpeed({
          ...values.speed,
          ...driveToMeasure(files),
          plan,
          model,
          executor,
          device: device?.executor,
          reader,
          signal,
        }),
      };
      await (values.output.json ? terminal.printJson(estimated) : terminal.print(estimateText(estimated)));
      return EXIT.ok;
    } finally {
      await device?.executor.dispose();
      await executor.dispose();
    }
  },
});
