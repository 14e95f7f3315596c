extension BenchmarkReport {
    /// For people. Speeds are in powers of ten.
    package var text: String {
        (modelLines + [""] + limitLines + [""] + countLines + [""] + resultLines + [""] + batchLines)
            .joined(separator: "\n") + "\n"
    }

    private var modelLines: [String] {
        var experts =
            model.expertCount == 0 ? "no routed experts" : "\(model.slotCount) of \(model.expertCount) experts"
        switch model.planes {
        case nil: break
        case "both"?: experts += ", both planes"
        case "heat"?:
            let use = Int((100 * (model.refinedUse ?? 0)).rounded())
            experts += ", both planes of \(model.refinedExpertCount ?? 0) with \(use) % of the recorded use"
        default: experts += ", their coarse planes"
        }
        if let rate = model.storageBytesPerSecond { experts += ", read at most at \(amount(Double(rate))) a second" }
        if model.isDense { experts += ", all active for every token" }
        return [
            "\(model.path): \(model.family), \(model.type), \(amount(Double(model.fileByteCount)))",
            "kernels \(model.kernels), \(threads), chunks of \(model.chunk) tokens, "
                + "context \(model.contextLength) in \(model.cacheFormat)",
            "in memory: \(experts)",
            "experts chosen by \(model.routing ?? "the model's own routers")",
        ]
    }

    private var threads: String { model.threadCount == 1 ? "1 thread" : "\(model.threadCount) threads" }

    private var limitLines: [String] {
        let cache = limits.cacheByteCount.map { ", the last-level cache has \($0 >> 20) MiB" } ?? ""
        let caution = limits.isBeyondCache ? "" : "; NOT much larger than the cache, so it may flatter"
        return [
            "limits of this machine, \(threads), the best of several passes",
            "  read bandwidth     \(giga(limits.readBandwidth)) GB/s   "
                + "(a buffer of \(limits.bufferByteCount >> 20) MiB\(cache)\(caution))",
            "  int8 multiply-adds \(giga(limits.multiplyAddRate)) G/s    (\(model.kernels), registers only)",
        ]
            + (storage.map {
                [
                    "  storage            \(giga($0.bytesPerSecond)) GB/s    (reads of \(amount(Double($0.readByteCount))), "
                        + "the best of 1, 2 and 4 lanes; the model's: \($0.laneCount) lanes, "
                        + "\($0.isDirect ? "past" : "through") the page cache"
                        + (model.storageBytesPerSecond == nil ? ")" : ", at what was asked for at most)")
                ]
            } ?? [])
    }

    private var countLines: [String] {
        let token = cost.decode(count: 1, depth: 0)
        var lines = [
            "counted from the configuration",
            "  a token reads      \(amount(token.byteCount)): \(amount(Double(cost.residentByteCount))) resident",
            "  a token computes   \(mega(token.matrixMultiplyAdds)) M multiply-adds in matrices, "
                + "\(mega(Double(cost.headMultiplyAdds))) M of them in the output head",
            "  a position costs   \(cost.cacheByteCountPerPosition) bytes of cache, and each later token "
                + "\(kilo(cost.absorbedMultiplyAddsPerPosition)) k multiply-adds (decode) or "
                + "\(kilo(cost.expandedMultiplyAddsPerPosition)) k (prefill), not counted against the int8 peak",
        ]
        if cost.expertsOfOneToken > 0 {
            lines[1] +=
                ", \(cost.expertsOfOneToken) experts (\(cost.sparseLayerCount) layers × \(cost.expertsPerToken)) "
                + "of \(amount(cost.expertByteCount))"
        }
        return lines
    }

    private var resultLines: [String] {
        let heads = ["", "tokens/s", "slowest…fastest", "GB/s", "of bandwidth", "G multiply-adds/s", "of int8 peak"]
        let rows = results.map { result in
            [
                result.name,
                fixed(result.tokensPerSecond, 2),
                "\(fixed(result.slowestTokensPerSecond, 2))…\(fixed(result.fastestTokensPerSecond, 2))",
                giga(result.bytesPerSecond), percent(result.bandwidthShare), giga(result.multiplyAddsPerSecond),
                percent(result.peakShare),
            ]
        }
        let widths = heads.indices.map { column in ([heads] + rows).map { $0[column].count }.max() ?? 0 }
        var lines = ([heads] + rows).map { row in
            row.indices.map { column in
                let padding = String(repeating: " ", count: widths[column] - row[column].count)
                return column == 0 ? row[column] + padding : padding + row[column]
            }.joined(separator: "  ")
        }
        for result in results {
            if let paging = result.paging {
                lines += pagingLines(result, paging)
            } else if result.storageByteCount > 0 {
                lines.append("\(result.name) read \(amount(Double(result.storageByteCount))) of experts from storage")
            }
        }
        lines.append("medians of \(results.first?.sample.seconds.count ?? 0), after a warm-up")
        return lines
    }

    private func pagingLines(_ result: Result, _ paging: Paging) -> [String] {
        guard let storage else { return [] }
        var counts =
            "  \(percent(paging.hitRate)) of experts in memory when asked for; a token: "
            + "\(fixed(paging.readsPerToken, 1)) reads, \(amount(paging.storageBytesPerToken)), "
            + "\(fixed(1000 * paging.stallSecondsPerToken, 1)) ms waited"
        if let recall = paging.recall { counts += "; \(percent(recall)) of choices predicted" }
        if let waste = paging.waste { counts += "; \(percent(waste)) of what was read ahead in vain" }
        var lines = ["\(result.name), experts from storage", counts]
        if let chunks = paging.chunkCount, let part = paging.readsOfAllExperts {
            lines.append(
                "  \(chunks) chunk\(chunks == 1 ? "" : "s"), \(fixed(part, 3)) times the bytes of all experts read in each"
            )
        }
        lines.append(
            "  bound: \(amount(paging.missedBytesPerToken)) missed a token at \(giga(storage.bytesPerSecond)) GB/s = "
                + "\(fixed(1000 * paging.missedBytesPerToken / storage.bytesPerSecond, 1)) ms, and "
                + "\(amount(paging.restBytesPerToken)) else at \(giga(limits.readBandwidth)) GB/s = "
                + "\(fixed(1000 * paging.restBytesPerToken / limits.readBandwidth, 1)) ms: "
                + "\(fixed(paging.boundTokensPerSecond, 2)) tokens/s, of which "
                + "\(percent(result.tokensPerSecond / paging.boundTokensPerSecond)) was reached")
        return lines
    }

    private var batchLines: [String] {
        let single = batchBounds.first { $0.sequenceCount == 1 }
        return batchBounds.filter { $0.sequenceCount > 1 }.map { bound in
            let gain = single.map { ", \(fixed(bound.tokensPerSecond / $0.tokensPerSecond, 2)) times one's" } ?? ""
            return
                "bound for \(bound.sequenceCount) sequences together: \(fixed(bound.tokensPerSecond, 1)) tokens/s\(gain)"
                + " (\(amount(bound.byteCount)) a step; \(fixed(bound.distinctExpertsPerLayer, 1)) of "
                + "\(cost.expertsPerLayer) experts a layer if all are equally likely)"
        }
    }
}

extension BenchmarkReport.Result {
    fileprivate var name: String {
        let together = sequenceCount == 1 ? "" : ", \(sequenceCount) together"
        return kind == .prefill ? "prefill \(tokenCount)" : "decode \(tokenCount) after \(depth)\(together)"
    }
}

private func giga(_ value: Double) -> String { fixed(value / 1e9, 2) }
private func mega(_ value: Double) -> String { fixed(value / 1e6, 1) }
private func amount(_ byteCount: Double) -> String {
    byteCount < 1e8 ? "\(fixed(byteCount / 1e6, 2)) MB" : "\(fixed(byteCount / 1e9, 3)) GB"
}
private func kilo(_ value: Int) -> String { "\((value + 500) / 1000)" }
private func percent(_ share: Double) -> String { "\(fixed(share * 100, 1)) %" }

/// `digits` digits after the point.
private func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    guard value.isFinite, abs(value) < 1e15 / scale else { return "\(value)" }
    let scaled = Int((abs(value) * scale).rounded())
    let fraction = String(scaled % Int(scale))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    let padding = String(repeating: "0", count: digits - fraction.count)
    return digits == 0 ? "\(sign)\(scaled)" : "\(sign)\(scaled / Int(scale)).\(padding)\(fraction)"
}
