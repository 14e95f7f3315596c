import Evaluation
import FoundationEssentials

/// What `evaluate` says, for people and for programs.
struct EvaluationReport: Encodable {
    struct Text: Encodable {
        var name: String
        var byteCount: Int
        var checksum: String

        init(_ text: EvaluationText.Identity) {
            name = text.name
            byteCount = text.byteCount
            checksum = text.checksum
        }
    }

    var model: String
    var reference: String?
    var text: Text
    var contextLength: Int
    var chunkCount: Int
    var reading: Evaluation.Reading
    var preferResident: Float
    var dropCold: Float
    /// `coarse`, `both` or `heat`, where experts have two planes.
    var planes: String?
    /// With `heat`: experts that are used with both, and their part of the recorded use.
    var refinedExpertCount: Int?
    var refinedUse: Double?
    var isCalibratedOnText: Bool
    var result: Evaluation

    var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }

    var lines: String {
        var lines = [
            "\(model) on \(text.name) (\(text.byteCount) bytes, XXH3 \(text.checksum))",
            Self.row(
                "tokens",
                "\(result.scoredTokenCount) scored, in \(chunkCount) chunks of \(contextLength)"
                    + description(of: reading)),
            Self.row("perplexity", Self.amount(result.perplexity, 4)),
        ]
        if let planesInWords { lines.insert(Self.row("planes", planesInWords), at: 1) }
        if let reference, let comparison = result.comparison {
            let ratio = comparison.perplexityRatio
            let growth = Estimate(value: (ratio.value - 1) * 100, standardError: ratio.standardError * 100)
            lines += [
                Self.row("against", reference),
                Self.row("  its perplexity", Self.amount(comparison.referencePerplexity, 4)),
                Self.row("  increase", Self.amount(growth, 3) + " %"),
                Self.row("  mean KLD", Self.amount(comparison.meanDivergence, 6)),
                Self.row("  median KLD", Self.fixed(comparison.medianDivergence, 6)),
                Self.row("  99 % KLD", Self.fixed(comparison.divergence99, 6)),
                Self.row("  greatest KLD", Self.fixed(comparison.greatestDivergence, 6)),
                Self.row(
                    "  same top token",
                    Self.amount(
                        Estimate(
                            value: comparison.topAgreement.value * 100,
                            standardError: comparison.topAgreement.standardError * 100), 2) + " %"),
            ]
            if let routing = comparison.routing {
                lines += [
                    Self.row(
                        "  same experts",
                        Self.amount(
                            Estimate(
                                value: routing.agreement.value * 100,
                                standardError: routing.agreement.standardError * 100), 2) + " %"),
                    Self.row("    mean KLD", Self.amount(routing.divergenceOfSame, 6)),
                    Self.row("  other experts", "mean KLD " + Self.amount(routing.divergenceOfOthers, 6)),
                ]
            }
        }
        if let paging = result.paging, paging.choiceCount > 0 { lines += self.lines(paging) }
        return lines.joined(separator: "\n")
    }

    private var planesInWords: String? {
        switch planes {
        case nil: nil
        case "both"?: "both"
        case "heat"?:
            "both of \(refinedExpertCount ?? 0) experts with \(Self.fixed(100 * (refinedUse ?? 0), 1)) % of the recorded use"
        default: "the coarse ones alone"
        }
    }

    private func lines(_ paging: Evaluation.Paging) -> [String] {
        func share(_ count: Int) -> String { Self.fixed(100 * Double(count) / Double(paging.choiceCount), 2) + " %" }
        return [
            Self.row("experts", "\(paging.slotCount) of \(paging.expertCount) fit in memory"),
            Self.row("  read", "\(share(paging.missCount)) of \(paging.choiceCount) choices"),
            Self.row("  substituted", share(paging.substitutedCount) + " (--prefer-resident \(preferResident))"),
            Self.row("  left out", share(paging.droppedCount) + " (--drop-cold \(dropCold))"),
        ]
    }

    private func description(of reading: Evaluation.Reading) -> String {
        switch reading {
        case .batches: ""
        case .steps: ", one token a step"
        case .prefill: ", as prompts are read"
        }
    }

    private static func row(_ name: String, _ value: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 18 - name.count)) + value
    }

    private static func amount(_ estimate: Estimate, _ places: Int) -> String {
        "\(fixed(estimate.value, places)) ± \(fixed(estimate.standardError, places))"
    }

    /// Below what the places show, the exponent matters more than a row of zeros.
    private static func fixed(_ value: Double, _ places: Int) -> String {
        let least = (0..<places).reduce(1.0) { unit, _ in unit / 10 }
        if value != 0, abs(value) < least * 10 { return scientific(value) }
        guard abs(value) < 1e9 else { return "\(value)" }
        let scaled = Int((abs(value) / least).rounded())
        let unit = Int((1 / least).rounded())
        let fraction = String(scaled % unit)
        return (value < 0 ? "-" : "") + "\(scaled / unit)."
            + String(repeating: "0", count: places - fraction.utf8.count) + fraction
    }

    /// `1.8e-07`
    private static func scientific(_ value: Double) -> String {
        var (mantissa, exponent) = (abs(value), 0)
        while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        return "\(value < 0 ? "-" : "")\((mantissa * 10).rounded() / 10)e\(exponent)"
    }
}
