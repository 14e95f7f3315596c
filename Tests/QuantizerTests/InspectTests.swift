import Checkpoint
import Compute
import Container
import Foundation
import Glibc
import Quantizer
import TestSupport
import Testing

@Suite("moe-quantize inspect")
struct InspectTests {
    private let directory: TemporaryDirectory
    private var model: String { "\(directory.path)/model.moe" }

    init() throws {
        directory = try TemporaryDirectory()
        let made = try Program.run(["convert", Fixtures.demo, "-o", model, "--type", "int4"])
        try #require(made.code == 0, "\(made.error)")
    }

    /// A gnuplot anywhere in the path.
    static let hasGnuplot = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
        access("\($0)/gnuplot", X_OK) == 0
    }

    @Test func itSaysWhatTheFileIs() throws {
        let outcome = try Program.run(["inspect", model])
        #expect(outcome.code == 0 && outcome.error.isEmpty)
        for part in [
            "deepseek_v3", "5 layers", "32 in each of 4 layers", "1 layer for multi-token prediction", "made by",
            "type int4", "q4", "q8", "f32", "experts.down",
            "a token reads", "bits each", "with LZ4", "greatest errors", "model-00001-of-00002.safetensors",
        ] {
            #expect(outcome.output.contains(part), "\(part)")
        }
    }

    /// The sums over kinds are those of the records, and the errors those of the weights.
    @Test func theJSONHoldsEveryNumber() throws {
        let outcome = try Program.run(["inspect", model, "--json"])
        #expect(outcome.code == 0)
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let reader = try ContainerReader(path: model)
        let kinds = try #require(json["kinds"] as? [[String: Any]])
        let bytes = kinds.compactMap { $0["byteCount"] as? Int }.reduce(0, +)
        let expected =
            reader.tensors.values.reduce(0) { $0 + $1.byteCount }
            + reader.experts.values.reduce(0) { $0 + $1.byteCount }
        #expect(bytes == expected)
        #expect(json["expertCount"] as? Int == reader.experts.count)
        #expect(json["fileByteCount"] as? Int == Int(reader.fileByteCount))
        #expect((json["losses"] as? [Any])?.count == reader.metadata.losses?.count)
    }

    @Test func theRecordedErrorsAreThoseOfTheWeights() throws {
        let reader = try ContainerReader(path: model)
        let losses = try #require(reader.metadata.losses)
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let layer = try #require(checkpoint.experts.first).key.layer
        var (error, energy, count) = (0.0, 0.0, 0)
        for expert in checkpoint.experts where expert.key.layer == layer {
            let record = try #require(reader.experts[expert.key])
            let memory = try AlignedMemory(byteCount: record.byteCount)
            let scratch = try AlignedMemory(byteCount: record.storedByteCount)
            try reader.readExpert(
                record, into: memory.base, scratch: .init(start: scratch.base, count: scratch.byteCount), verify: true)
            let shape = record.layout.downShape
            let down = Matrix(
                base: UnsafeRawPointer(memory.base + record.layout.downOffset), shape: shape,
                table: record.layout.downTable)
            let original = try expert.down.values(rows: 0..<expert.down.rows)
            for row in 0..<shape.rows {
                var values = [Float](repeating: 0, count: shape.columns)
                Kernels.best.dequantizeRow(down, row: row, into: &values)
                for column in 0..<shape.columns {
                    let x = Double(original[row * shape.columns + column])
                    error += (x - Double(values[column])) * (x - Double(values[column]))
                    energy += x * x
                }
            }
            count += 1
        }
        let loss = try #require(losses.first { $0.layer == layer && $0.kind == "experts.down" })
        #expect(loss.matrixCount == count)
        #expect(abs(loss.relativeError - (error / energy).squareRoot()) < 1e-5)
        #expect(losses.contains { $0.layer == nil && $0.kind == "token.embedding" })
        #expect(!losses.contains { $0.kind == "router" }, "what is f32 loses nothing")
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot isn't installed"), arguments: ["png", "svg"])
    func theErrorsAreDrawn(format: String) throws {
        let target = "\(directory.path)/errors.\(format)"
        let outcome = try Program.run(["inspect", model, "--plot", target])
        #expect(outcome.code == 0, "\(outcome.error)")
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: target)))
        #expect(bytes.count > 5000)
        if format == "png" {
            #expect(bytes.prefix(4) == [0x89, 0x50, 0x4E, 0x47])
        } else {
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.contains("</svg>") && text.contains("experts.down") && text.contains("attention.output"))
        }
        #expect(!exists(target + ".partial"))
    }

    @Test func withoutGnuplotItSaysSo() throws {
        let target = "\(directory.path)/errors.png"
        let outcome = try Program.run(["inspect", model, "--plot", target], environment: ["PATH": directory.path])
        #expect(outcome.code == 69 && outcome.error.contains("gnuplot") && outcome.error.contains("install"))
        #expect(!exists(target) && !exists(target + ".partial"))
    }

    @Test func aFileWithoutErrorsIsNotDrawn() throws {
        let path = "\(directory.path)/random.moe"
        let config = "\(Fixtures.checkpoint("moonlight"))/config.json"
        #expect(try Program.run(["synthesize", "--config", config, "-o", path, "--seed", "3"]).code == 0)
        #expect(try Program.run(["inspect", path]).output.contains("random weights of seed 3"))
        #expect(try Program.run(["inspect", path, "--plot", "\(directory.path)/x.png"]).code == 65)
    }

    @Test(arguments: [(["--plot", "x.gif"], 64), ([], 74)])
    func exitCodes(more: [String], code: Int) throws {
        #expect(try Program.run(["inspect", "/nowhere.moe"] + more).code == code)
    }
}
