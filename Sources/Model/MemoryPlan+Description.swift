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
        if let planesName { lines.append("experts       \(planesName): \(planesReason)") }
        lines.append(line("in all", byteCount, " of \(MemorySize(byteCount: budget)) (\(budgetSource))"))
        return lines
    }

    private var planesName: String? {
        switch planes {
        case nil:
            return nil
        case .coarse?:
            return "the coarse planes, 4 bits a weight"
        case .both?:
            return "both planes, 8 bits a weight"
        case .heat(let hot)?:
            let use = Int((100 * (heat?.recordedUse ?? 0)).rounded())
            return
                "both planes, 8 bits a weight, of \(hot.count) experts, which have \(use) % of the recorded use, and "
                + "the coarse planes, 4 bits, of the others"
        }
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

    /// What storage lets one hope for: `samples` of a probe, and the tokens a second that reading from storage what isn't in
    /// memory, and from memory what is, would leave if nothing overlapped and computing took no time.
    ///
    /// - Parameter readBandwidth: of memory, in bytes a second.
    package func forecastLines(_ probe: StorageProbe, readBandwidth: Double) -> [String] {
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
        guard slotCount < expertCount else {
            let rate = readBandwidth / Double(max(denseByteCount + tokenByteCount, 1))
            return lines + [
                "every expert stays in memory: at most \(Self.rate(rate)) tokens/s with memory that is read at "
                    + "\(Self.rate(readBandwidth / 1e9)) GB/s"
            ]
        }
        let hits = HitRateForecast.range(fraction: slotFraction)
        func rate(_ hitRate: Double) -> String {
            let missed = (1 - hitRate) * Double(missedTokenByteCount)
            let rest = Double(denseByteCount + tokenByteCount) - missed
            return Self.rate(1 / (missed / best.bytesPerSecond + rest / readBandwidth))
        }
        func percent(_ part: Double) -> Int { Int((100 * part).rounded()) }
        let missed = MemorySize(
            byteCount: Int((1 - (hits.lowerBound + hits.upperBound) / 2) * Double(missedTokenByteCount)))
        lines.append(
            "to expect: \(percent(hits.lowerBound)) to \(percent(hits.upperBound)) % of the experts in memory when asked "
                + "for, about \(missed) read a token, \(rate(hits.lowerBound)) to \(rate(hits.upperBound)) tokens/s with "
                + "memory that is read at \(Self.rate(readBandwidth / 1e9)) GB/s"
                + (probe.choice.map { ", by \($0.laneCount) lanes, \($0.isDirect ? "direct" : "buffered")" } ?? ""))
        return lines
    }

    private static func rate(_ perSecond: Double) -> String {
        perSecond < 10 ? "\((perSecond * 10).rounded() / 10)" : "\(Int(perSecond.rounded()))"
    }

    package var description: String { lines.joined(separator: "\n") }
}
