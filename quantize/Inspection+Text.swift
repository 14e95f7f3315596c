import Compute
import Container

extension Inspection {
    /// As a person reads it.
    var text: String {
        (heading + kindTable + expertLines + lossLines + sourceLines).joined(separator: "\n")
    }

    private var heading: [String] {
        let model = configuration
        let encoder = model.encoder.map { " (\($0.layerCount) of the encoder)" } ?? ""
        var shape =
            "\(model.layerCount) layers\(encoder), hidden \(model.hiddenSize), vocabulary \(model.vocabularySize)"
        shape += ", context \(model.contextLength)"
        var lines = [
            "\(path): \(Amount.bytes(Int(clamping: fileByteCount))), identity \(identity)",
            row("model", "\(model.family), \(shape)"),
        ]
        if let experts = model.experts {
            let sparse = model.sparseLayers.count { $0 }
            lines.append(
                row(
                    "experts",
                    "\(experts.routedExpertCount) in each of \(sparse) layers, \(experts.expertsPerToken) a token"))
        }
        if predictionLayerCount > 0 {
            let layers = predictionLayerCount == 1 ? "1 layer" : "\(predictionLayerCount) layers"
            lines.append(
                row(
                    "prediction", "\(layers) for multi-token prediction, \(Amount.bytes(predictionByteCount)), not used"
                ))
        }
        lines.append(row("made by", made))
        if let importance = recipe.importance {
            lines.append(row("importance", "matrix \(importance.fingerprint)"))
        }
        lines.append(
            row(
                "weights",
                "\(Amount.fixed(Double(weightCount) / 1e6, 2)) million, \(Amount.fixed(bitsPerWeight, 2)) bits each"))
        lines.append(row("resident", Amount.bytes(residentByteCount)))
        let coarse = coarseByteCountPerToken.map { ", or \(Amount.bytes($0)) with the coarse planes alone" } ?? ""
        lines.append(row("a token reads", Amount.bytes(byteCountPerToken) + coarse))
        let template = hasChatTemplate ? "with a chat template" : "without a chat template"
        lines.append(row("tokenizer", hasTokenizer ? template : "none: it can be traced and measured, not served"))
        return lines
    }

    private var made: String {
        var text =
            "\(recipe.tool), type \(recipe.type)\(recipe.isPure ? ", pure" : ""), pack \(recipe.packing.rawValue)"
        if let seed = recipe.randomSeed { text += ", random weights of seed \(seed)" }
        return text
    }

    private var kindTable: [String] {
        let width = (kinds.map(\.name.count).max() ?? 0) + 2
        return ["", "  " + padded("kind", width) + padded("format", 24) + "matrices   size        share"]
            + kinds.map { kind in
                let total = Double(max(1, residentByteCount + expertByteCount))
                let share = Amount.fixed(Double(kind.byteCount) / total * 100, 1)
                return "  " + padded(kind.name, width) + padded(kind.format, 24) + padded("\(kind.matrixCount)", 11)
                    + padded(Amount.bytes(kind.byteCount), 12) + "\(share) %"
            }
    }

    private var expertLines: [String] {
        guard expertCount > 0 else { return [] }
        let saved = Double(expertByteCount - storedExpertByteCount) / Double(max(1, expertByteCount)) * 100
        return [
            "",
            row(
                "packing",
                "\(packedExpertCount) of \(expertCount) experts with LZ4, which saves \(Amount.fixed(saved, 1)) % of "
                    + Amount.bytes(expertByteCount)),
            row("an expert", Amount.bytes(expertByteCount / expertCount)),
        ]
            + (refinedExpertCount > 0
                ? [row("planes", "two of \(refinedExpertCount) experts: 4 bits, and 4 that make 8 of them")] : [])
    }

    /// The greatest errors; all of them are in the JSON and in the plot.
    private var lossLines: [String] {
        let worst = losses.sorted { $0.relativeError > $1.relativeError }.prefix(5)
        return worst.enumerated().map { index, loss in
            let place = loss.layer.map { "layer \($0) " } ?? ""
            return row(
                index == 0 ? "greatest errors" : "",
                "\(Amount.fixed(loss.relativeError * 100, 2)) % in \(place)\(loss.kind)")
        }
    }

    private var sourceLines: [String] {
        sources.enumerated().map { index, source in
            row(index == 0 ? "made from" : "", "\(source.name), \(Amount.bytes(source.byteCount)), \(source.checksum)")
        }
    }

    private func row(_ name: String, _ value: String) -> String { "  " + padded(name, 18) + value }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
