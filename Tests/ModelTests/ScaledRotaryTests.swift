import Checkpoint
import Container
import FoundationEssentials
import Model
import Quantizer
import TestSupport
import Testing

/// Frequencies that are divided one by one, against the reference (`scaled.py` beside the checkpoint).
@Suite struct ScaledRotaryTests {
    @Test(arguments: [
        (
            "llama3",
            #""rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "#
                + #""original_max_position_embeddings": 64"#
        ), ("linear", #""rope_type": "linear", "factor": 2.5"#),
    ])
    func reproducesTheReference(name: String, scaling: String) throws {
        let directory = try TemporaryDirectory()
        let source = Fixtures.checkpoint("llama")
        let configuration = try Data(contentsOf: URL(filePath: "\(source)/config.json"))
        let text = String(decoding: configuration, as: UTF8.self)
            .replacing(#""rope_type": "default""#, with: scaling)
        try Data(text.utf8).write(to: URL(filePath: "\(directory.path)/config.json"))
        try FileManager.default.createSymbolicLink(
            atPath: "\(directory.path)/model.safetensors", withDestinationPath: "\(source)/model.safetensors")

        let checkpoint = try Checkpoint(directory: directory.path)
        let conversion = Conversion(
            checkpoint, plan: FormatPlan(checkpoint.configuration, type: .f32, isPure: false), packing: .never,
            threadCount: 2, progress: ConversionProgress(totalByteCount: 1, hashByteCount: 1))
        let output = "\(directory.path)/model.moe"
        _ = try conversion.run(into: ContainerWriter(path: output, replacing: false), tool: "tests")

        let golden = try Golden(.llama)
        let file = try SafetensorsFile(path: "\(source)/scaled.safetensors")
        let expected = try file.floats(of: try #require(file.tensor(named: name)))
        let model = try load(try ContainerReader(path: output))
        for isStepwise in [false, true] {
            let trace = try Trace(
                Trace.Request(tokens: Array(golden.tokens[..<48]), isStepwise: isStepwise), model: model)
            // The last 16 positions, beyond what the frequencies were made for.
            #expect(relativeError(Array(trace.logits.suffix(expected.count)), expected) <= 1e-4)
        }
    }
}
