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
        if let pressure = memory.pressure, pressure.usableSlotCount < memory.expertSlotCount {
            experts += ", \(pressure.usableSlotCount) while memory is short"
        }
        if let planes = planes(memory, paging) { experts += planes }
        if let rate = paging.hitRate {
            experts += ", \(Quantity.percent(rate)) of uses were there, \(Quantity.bytes(paging.byteCount)) read, "
            experts += "\(Quantity.duration(seconds: paging.stallSeconds)) waited"
        }
        if let perToken = paging.perToken, paging.byteCount > 0 {
            experts += "; a token: \(Quantity.bytes(Int(perToken.byteCount))) in "
            experts += "\((10 * perToken.readCount).rounded() / 10) reads, "
            experts += "\((10 * perToken.stallMilliseconds).rounded() / 10) ms waited"
        }
        if let prediction = paging.prediction {
            let recall = prediction.recall.map { "\(Quantity.percent($0)) of choices predicted" }
            let waste = prediction.waste.map { "\(Quantity.percent($0)) of what was read ahead in vain" }
            experts += "; " + [recall, waste].compactMap(\.self).joined(separator: ", ")
            if let isReadingAhead = paging.isReadingAhead {
                experts += isReadingAhead ? ", reading ahead" : ", not reading ahead"
            }
        }
        rows.append(("experts", experts))
        for condition in status.conditions ?? [] { rows.append(("trouble", condition)) }
        if let help = lossyHelp(paging) { rows.append(("lossy help", help)) }
        return rows.map { (name: $0.0, value: $0.1) }
    }

    /// Of experts that have two planes.
    private static func planes(_ memory: Status.Memory, _ paging: Status.Paging) -> String? {
        switch memory.expertPlanes {
        case nil:
            return nil
        case "both"?:
            return " with both planes"
        case "heat"?:
            guard let count = memory.refinedExpertCount, let use = memory.refinedUse else {
                return ", coarse planes only until the next start: nothing was recorded of their use"
            }
            let uses = paging.hitCount + paging.missCount
            let since = uses > 0 ? paging.refinedUseCount.map { Double($0) / Double(uses) } : nil
            return ", \(count) with both planes, which had \(Quantity.percent(use)) of the recorded uses"
                + (since.map { " and \(Quantity.percent($0)) since the start" } ?? "")
        default:
            return ", coarse planes only"
        }
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
