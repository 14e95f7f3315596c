import Container
package import ExpertPaging

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
                line(
                    "expert arena", arenaByteCount,
                    ", \(slotCount) slots for \(expertCount) experts, \(Int((100 * slotFraction).rounded())) %"))
        }
        if let planes {
            let name = planes == .both ? "both planes, 8 bits a weight" : "the coarse planes, 4 bits a weight"
            lines.append("experts       \(name): \(planesReason)")
        }
        lines.append(line("in all", byteCount, " of \(MemorySize(byteCount: budget)) (\(budgetSource))"))
        return lines
    }

    /// What the model needs, apart from what it is given.
    package var demandLines: [String] {
        var lines = ["least that works  \(leastByteCount) bytes (\(MemorySize(byteCount: leastByteCount)))"]
        if expertCount > 0 {
            lines.append(
                "a token uses      \(tokenByteCount) bytes (\(MemorySize(byteCount: tokenByteCount))) of experts, "
                    + "\(tokenExpertCount) of them")
        }
        return lines
    }

    /// What storage lets one hope for: `samples` of a probe, and the tokens a second that reading the experts that aren't in
    /// memory would leave if computing took no time.
    package func forecastLines(_ probe: StorageProbe) -> [String] {
        guard expertCount > 0, let best = probe.best else { return [] }
        let megabyte = 1e6
        var lines = ["storage, reads of \(MemorySize(byteCount: probe.readByteCount)):"]
        for sample in probe.samples {
            let lanes = sample.laneCount == 1 ? "1 lane " : "\(sample.laneCount) lanes"
            let milliseconds = sample.latency / .milliseconds(1)
            lines.append(
                "  \(lanes), \(sample.isDirect ? "direct  " : "buffered")  "
                    + "\(Int((sample.bytesPerSecond / megabyte).rounded())) MB/s, "
                    + "\((milliseconds * 100).rounded() / 100) ms a read")
        }
        guard slotCount < expertCount else { return lines + ["every expert stays in memory"] }
        let hits = HitRateForecast.range(fraction: slotFraction)
        func rate(_ hitRate: Double) -> String {
            let perSecond = best.bytesPerSecond / max((1 - hitRate) * Double(tokenByteCount), 1)
            return perSecond < 10 ? "\((perSecond * 10).rounded() / 10)" : "\(Int(perSecond.rounded()))"
        }
        func percent(_ part: Double) -> Int { Int((100 * part).rounded()) }
        let missed = MemorySize(byteCount: Int((1 - (hits.lowerBound + hits.upperBound) / 2) * Double(tokenByteCount)))
        lines.append(
            "to expect: \(percent(hits.lowerBound)) to \(percent(hits.upperBound)) % of the experts in memory when asked "
                + "for, about \(missed) read a token, at most \(rate(hits.lowerBound)) to \(rate(hits.upperBound)) "
                + "tokens/s from storage")
        return lines
    }

    package var description: String { lines.joined(separator: "\n") }
}
