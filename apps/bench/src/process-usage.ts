/** Processor time this process has taken. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** The largest resident set this process has had. */
export function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
