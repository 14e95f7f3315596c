import Container
import FoundationEssentials
import Quantizer

/// What `--dry-run` says.
struct DryRun: Encodable {
    private struct Tensor: Encodable {
        var name: String
        var rows: Int
        var columns: Int
        var count: Int
        var type: String
        var bitsPerWeight: Double
        var byteCount: Int
    }

    private var recipe: Recipe
    private var tensors: [Tensor]
    private var weightCount: Int
    private var bitsPerWeight: Double
    /// At most: packed blobs make it smaller.
    private var fileByteCount: Int
    private var freeByteCount: Int?
    private var isEnoughSpace: Bool?
    private var peakMemoryByteCount: Int
    private var device: DeviceNeeds

    init(_ forecast: ConversionForecast, plan: FormatPlan, recipe: Recipe, output: String) throws {
        self.recipe = recipe
        tensors = forecast.lines.map {
            Tensor(
                name: $0.name, rows: $0.rows, columns: $0.columns, count: $0.matrixCount,
                type: $0.isRefined ? "\($0.format) to q8" : "\($0.format)",
                bitsPerWeight: $0.bitsPerWeight, byteCount: $0.byteCount)
        }
        weightCount = forecast.weightCount
        bitsPerWeight = forecast.bitsPerWeight
        fileByteCount = forecast.fileByteCount
        freeByteCount = DiskSpace.available(forFile: output)
        isEnoughSpace = freeByteCount.map { $0 >= forecast.fileByteCount }
        peakMemoryByteCount = forecast.peakByteCount
        device = try DeviceNeeds(forecast, plan.configuration, isFloat: plan.isPure && plan.type == .f32)
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var text: String {
        let rows = tensors.map {
            [
                $0.name, $0.count == 1 ? "" : "\($0.count) ×", "\($0.rows) × \($0.columns)", $0.type,
                Amount.fixed($0.bitsPerWeight, 2), Amount.bytes($0.byteCount),
            ]
        }
        var lines = Self.table([["tensor", "", "shape", "type", "bits", "size"]] + rows)
        lines += ["", "recipe \(recipe.name ?? ""), of whose rules the first that matches decides:"]
        lines += (recipe.rules ?? []).map { "  \($0)" }
        var facts = [
            (
                "weights",
                "\(Amount.fixed(Double(weightCount) / 1e6, 2)) million, \(Amount.fixed(bitsPerWeight, 2)) bits each"
            ),
            ("the file", Amount.bytes(fileByteCount) + (recipe.packing == .never ? "" : ", less what packs")),
        ]
        if let freeByteCount {
            let verdict = isEnoughSpace == true ? "enough" : "NOT ENOUGH"
            facts.append(("disk free", "\(Amount.bytes(freeByteCount)): \(verdict)"))
        }
        facts.append(("converting takes", Amount.bytes(peakMemoryByteCount) + " of memory at most"))
        lines.append("")
        lines += (facts + device.lines).map { Summary.row($0.0, $0.1) }
        return lines.joined(separator: "\n")
    }

    /// Columns as wide as their widest cell; numbers to the right.
    private static func table(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return column == 0 || column == 3 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
    }
}
