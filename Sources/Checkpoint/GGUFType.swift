/// An element type of GGUF files: floats, or blocks of codes with what scales them.
package struct GGUFType: Sendable, Equatable {
    /// By which files and people know it, such as `Q4_0`.
    package let name: String
    /// Elements of a row that are stored together.
    let blockLength: Int
    let blockByteCount: Int

    private init(_ name: String, _ blockLength: Int, _ blockByteCount: Int) {
        self.name = name
        self.blockLength = blockLength
        self.blockByteCount = blockByteCount
    }

    package static let f32 = GGUFType("F32", 1, 4)
    static let f16 = GGUFType("F16", 1, 2)
    static let bf16 = GGUFType("BF16", 1, 2)
    static let q4_0 = GGUFType("Q4_0", 32, 18)
    static let q4_1 = GGUFType("Q4_1", 32, 20)
    static let q5_0 = GGUFType("Q5_0", 32, 22)
    static let q5_1 = GGUFType("Q5_1", 32, 24)
    static let q8_0 = GGUFType("Q8_0", 32, 34)
    static let iq4_nl = GGUFType("IQ4_NL", 32, 18)
    static let mxfp4 = GGUFType("MXFP4", 32, 17)
    static let q4_k = GGUFType("Q4_K", 256, 144)
    static let q5_k = GGUFType("Q5_K", 256, 176)
    static let q6_k = GGUFType("Q6_K", 256, 210)

    /// Weights of these types can be read.
    static let readable = [
        f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0, iq4_nl, mxfp4,
    ]

    /// Every type that there is, by its number in the file; the others are known so that they can be called by name.
    static let all: [Int: GGUFType] = [
        0: f32, 1: f16, 2: q4_0, 3: q4_1, 6: q5_0, 7: q5_1, 8: q8_0,
        9: .init("Q8_1", 32, 36), 10: .init("Q2_K", 256, 84), 11: .init("Q3_K", 256, 110),
        12: q4_k, 13: q5_k, 14: q6_k, 15: .init("Q8_K", 256, 292), 16: .init("IQ2_XXS", 256, 66),
        17: .init("IQ2_XS", 256, 74),
        18: .init("IQ3_XXS", 256, 98), 19: .init("IQ1_S", 256, 50), 20: iq4_nl, 21: .init("IQ3_S", 256, 110),
        22: .init("IQ2_S", 256, 82), 23: .init("IQ4_XS", 256, 136), 24: .init("I8", 1, 1), 25: .init("I16", 1, 2),
        26: .init("I32", 1, 4), 27: .init("I64", 1, 8), 28: .init("F64", 1, 8), 29: .init("IQ1_M", 256, 56), 30: bf16,
        34: .init("TQ1_0", 256, 54), 35: .init("TQ2_0", 256, 66), 39: mxfp4, 40: .init("NVFP4", 64, 36),
    ]
}
