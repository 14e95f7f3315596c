extension MemoryPlan: CustomStringConvertible {
    /// One line a part, for a log or a person.
    package var lines: [String] {
        func line(_ name: String, _ byteCount: Int, _ note: String) -> String {
            let padding = String(repeating: " ", count: max(1, 14 - name.count))
            return "\(name)\(padding)\(byteCount) bytes (\(MemorySize(byteCount: byteCount)))\(note)"
        }
        var lines = [
            line("dense weights", denseByteCount, ""),
            line(
                "KV cache", cacheByteCount,
                ", \(cacheBlockCount * KeyValueCache.blockLength) tokens in \(cacheFormat.rawValue), "
                    + (sequenceCount == 1
                        ? "one answer at a time"
                        : "\(sequenceCount) answers at a time, each of \(contextLength) at most")),
            line("scratch", scratchByteCount, ", chunks of \(chunk) tokens"),
        ]
        if expertCount > 0 {
            lines.append(
                line("expert arena", arenaByteCount, ", \(slotCount) slots for \(expertCount) experts"))
        }
        lines.append(line("in all", byteCount, " of \(MemorySize(byteCount: budget)) (\(budgetSource))"))
        return lines
    }

    package var description: String { lines.joined(separator: "\n") }
}
