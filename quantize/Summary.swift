import Checkpoint
import Quantizer

/// What a person wants to know after a conversion.
struct Summary {
    let text: String

    init(_ report: ConversionReport, plan: FormatPlan, output: String, duration: Duration) {
        var lines = [
            "\(output): \(Amount.bytes(report.fileByteCount)) from \(Amount.bytes(report.sourceByteCount)) of weights, "
                + "in \(Amount.fixed(duration.seconds, 1)) s",
            Self.row("format", Self.format(plan)),
            Self.row(
                "weights",
                "\(Amount.fixed(Double(report.weightCount) / 1e6, 2)) million, "
                    + "\(Amount.fixed(report.bitsPerWeight, 2)) bits each"),
            Self.row(
                "a token reads",
                Amount.bytes(report.byteCountPerToken)
                    + (report.coarseByteCountPerToken.map { ", or \(Amount.bytes($0)) with the coarse planes alone" }
                        ?? "")),
        ]
        if report.expertCount > 0 {
            lines.append(
                Self.row("experts", "\(report.expertCount), of which \(report.packedExpertCount) packed with LZ4"))
        }
        if report.resumedArrayCount > 0 {
            let size = "\(report.resumedArrayCount) of \(report.arrayCount) tensors and experts"
            lines.append(Self.row("resumed", "\(size) were there already"))
        }
        for (index, matrix) in report.worst.enumerated() {
            lines.append(
                Self.row(
                    index == 0 ? "greatest errors" : "",
                    "\(Amount.fixed(matrix.loss.relative * 100, 2)) % in \(matrix.name) (\(matrix.format))"))
        }
        lines += Self.uncompensated(report)
        for skipped in report.skipped {
            let size = "\(skipped.tensorCount) tensors, \(Amount.bytes(skipped.byteCount))"
            lines.append(Self.row("left out", "\(skipped.reason): \(size)"))
        }
        if let first = report.unquantized.first {
            lines.append(
                Self.row(
                    "kept bf16",
                    "\(report.unquantized.count) matrices whose rows 32 doesn't divide, such as \(first)"))
        }
        text = lines.joined(separator: "\n")
    }

    /// By name, because someone may want more calibration for them.
    private static func uncompensated(_ report: ConversionReport) -> [String] {
        guard !report.uncompensated.isEmpty else { return [] }
        let head = row("rounded alone", "\(report.uncompensated.count), by the search instead of gptq:")
        return [head]
            + report.uncompensated.map { matrix in
                switch matrix.reason {
                case .notRecorded: row("", "\(matrix.name): not in the importance matrix")
                case .fewTokens(let count): row("", "\(matrix.name): only \(count) tokens of calibration")
                }
            }
    }

    private static func format(_ plan: FormatPlan) -> String {
        guard !plan.isPure else { return "\(plan.type.rawValue) throughout" }
        let finer = plan.rules.dropLast().map(\.description)
        let first = finer.prefix(3).joined(separator: " ")
        return "\(plan.type.rawValue), \(plan.recipeName): \(first)"
            + (finer.count > 3 ? " … (\(finer.count) rules)" : "")
    }

    static func row(_ name: String, _ value: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 18 - name.count)) + value
    }
}
