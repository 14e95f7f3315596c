package import API

/// The daemon's status in words.
package enum StatusReport {
    package static func rows(_ status: Status) -> [(name: String, value: String)] {
        let model = status.model
        let memory = status.memory
        let paging = status.paging
        let throughput = status.throughput
        var rows = [
            (
                "moed",
                "\(status.version), up \(Quantity.duration(seconds: status.uptimeSeconds)), \(status.state.rawValue)"
            ),
            (
                "model",
                "\(model.id) (\(model.family), \(model.format), \(Quantity.parameters(model.parameterCount)) parameters, "
                    + "\(Quantity.parameters(model.activeParameterCount)) a token)"
            ),
            ("file", "\(model.path), \(Quantity.bytes(model.fileByteCount))"),
            ("context", "\(model.contextLength) tokens"),
            (
                "requests",
                "\(status.queue.running) running, \(status.queue.waiting) waiting (at most \(status.queue.limit)), "
                    + "\(throughput.requestCount) since the start"
            ),
        ]
        if let speed = speed(throughput) { rows.append(("speed", speed)) }
        let budget = memory.budgetByteCount.map { " of \(Quantity.bytes($0))" } ?? ""
        let planned =
            memory.denseByteCount + memory.cacheByteCount + memory.scratchByteCount + memory.arenaByteCount
        rows.append(
            (
                "memory",
                "\(Quantity.bytes(planned))\(budget): \(Quantity.bytes(memory.denseByteCount)) weights of every token, "
                    + "\(Quantity.bytes(memory.cacheByteCount)) context, \(Quantity.bytes(memory.arenaByteCount)) experts, "
                    + "\(Quantity.bytes(memory.scratchByteCount)) scratch"
            ))
        var experts = "\(memory.expertSlotCount) of \(memory.expertCount) fit in memory"
        if let rate = paging.hitRate {
            experts += ", \(Quantity.percent(rate)) of uses were there, \(Quantity.bytes(paging.byteCount)) read, "
            experts += "\(Quantity.duration(seconds: paging.stallSeconds)) waited"
        }
        let tokenCount = throughput.promptTokenCount + throughput.completionTokenCount
        if let readCount = paging.readCount, readCount > 0, tokenCount > 0 {
            let milliseconds = 1000 * paging.stallSeconds / Double(tokenCount)
            experts += "; a token: \(Quantity.bytes(paging.byteCount / tokenCount)) in "
            experts += "\((10 * Double(readCount) / Double(tokenCount)).rounded() / 10) reads, "
            experts += "\((10 * milliseconds).rounded() / 10) ms waited"
        }
        rows.append(("experts", experts))
        if let help = lossyHelp(paging) { rows.append(("lossy help", help)) }
        return rows.map { (name: $0.0, value: $0.1) }
    }

    /// nil where there is none and was none.
    private static func lossyHelp(_ paging: Status.Paging) -> String? {
        let (prefer, drop) = (paging.preferResident ?? 0, paging.dropCold ?? 0)
        let (substituted, dropped) = (paging.substitutedCount ?? 0, paging.droppedCount ?? 0)
        guard prefer > 0 || drop > 0 || substituted > 0 || dropped > 0 else { return nil }
        let defaults =
            prefer > 0 || drop > 0
            ? "by default prefer-resident \(prefer), drop-cold \(drop)" : "only where requests ask for it"
        return "\(defaults); \(substituted) experts substituted, \(dropped) left out since the start"
    }

    private static func speed(_ throughput: Status.Throughput) -> String? {
        let parts = [
            throughput.prefillTokensPerSecond.map { "\(Quantity.rate($0)) tokens/s reading" },
            throughput.decodeTokensPerSecond.map { "\(Quantity.rate($0)) tokens/s answering" },
        ].compactMap(\.self)
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
}
