package import Checkpoint
package import Compute

/// What a conversion did.
package struct ConversionReport: Sendable {
    /// One matrix and what encoding it lost.
    package struct Matrix: Sendable, Equatable {
        /// The checkpoint's name.
        package var name: String
        package var format: BlockFormat
        package var loss: MatrixEncoder.Loss
    }

    package var sourceByteCount = 0
    package var fileByteCount = 0
    package var weightCount = 0
    /// Bytes of all arrays as stored, packed blobs at their packed size.
    package var storedByteCount = 0
    package var byteCountPerToken = 0
    /// With the experts' first planes alone; nil where none has two.
    package var coarseByteCountPerToken: Int?
    /// Tensors and experts (with all of their planes), and how many of them an earlier run had made.
    package var arrayCount = 0
    package var resumedArrayCount = 0
    package var expertCount = 0
    package var packedExpertCount = 0
    package var matrixCount = 0
    /// The matrices with the greatest relative error, the worst first.
    package var worst: [Matrix] = []
    /// Matrices that stayed bf16 because 32 doesn't divide their rows.
    package var unquantized: [String] = []
    /// What the method `gptq` could only search.
    package var uncompensated: [Uncompensated] = []
    package var losses = LossTable()
    package var skipped: [Checkpoint.Skipped] = []
    package var warnings: [String] = []

    package static let worstCount = 5

    package var bitsPerWeight: Double { weightCount > 0 ? Double(storedByteCount) * 8 / Double(weightCount) : 0 }

    /// Takes one converted matrix in.
    mutating func add(_ matrix: Matrix, weightCount: Int) {
        matrixCount += 1
        self.weightCount += weightCount
        guard matrix.loss.error > 0 else { return }
        // The earlier one wins a tie, so the list doesn't depend on the order of equal errors.
        let place = worst.firstIndex { $0.loss.relative < matrix.loss.relative } ?? worst.count
        worst.insert(matrix, at: place)
        if worst.count > Self.worstCount { worst.removeLast() }
    }
}
