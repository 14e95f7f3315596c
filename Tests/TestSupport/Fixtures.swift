/// Where the test inputs are.
package enum Fixtures {
    /// The checkout's root, found from this file's own place.
    package static let root = parent(parent(parent(#filePath)))

    /// A small checkpoint with reference outputs, such as `deepseek-v3`.
    package static func checkpoint(_ name: String) -> String { "\(root)/Tests/Fixtures/checkpoints/\(name)" }

    /// A small checkpoint as llama.cpp's converter writes it, with a tokenizer inside, such as `llama-q8_0`.
    package static func gguf(_ name: String) -> String { "\(root)/Tests/Fixtures/gguf/\(name).gguf" }

    /// The demonstration checkpoint, as it is shipped.
    package static let demo = "\(root)/packaging/demo"

    /// The demonstration checkpoint's reference outputs.
    package static let demoGolden = "\(root)/Tests/Fixtures/demo/golden.safetensors"

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? path
    }
}
