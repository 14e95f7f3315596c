internal import CKernels
import Glibc

/// One instruction set's arithmetic: a table of C functions, chosen once for the processor.
///
/// All entries give the same bits for the same inputs (NaN payloads excepted), and the result for one token and one row
/// depends neither on the other tokens and rows of the call nor on threads. The order of every sum is written down
/// in `Sources/CKernels/README.md`.
@safe package struct Kernels: @unchecked Sendable {
    // @unchecked: the table is a constant of the program.

    let table: UnsafePointer<moed_kernels>

    /// One of `knownNames`.
    package var name: String { unsafe String(cString: table.pointee.name) }

    /// What this processor can run, the scalar reference first and the fastest last.
    package static let available: [Kernels] = (0..<moed_kernels_count()).map { index in
        unsafe Kernels(table: moed_kernels_at(index))
    }

    /// Every name there is, on any processor.
    package static let knownNames = ["scalar", "avx2", "avxvnni", "avx512vnni", "amx", "neon-dotprod", "neon-i8mm"]

    package static func named(_ name: String) -> Kernels? { available.first { $0.name == name } }

    /// The kernels that `MOED_KERNELS` names, read once; the fastest available when it isn't set.
    ///
    /// Programs call this at start, so that a wrong name is an error with a message.
    package static func selected() throws(ComputeError) -> Kernels { try environmentChoice.get() }

    /// `selected()`, or the fastest available where `MOED_KERNELS` is wrong.
    package static let best: Kernels = (try? selected()) ?? available[available.count - 1]

    /// The choice for a value of `MOED_KERNELS`; nil and the empty string mean the fastest.
    package static func selected(by name: String?) throws(ComputeError) -> Kernels {
        guard let name, !name.isEmpty else { return available[available.count - 1] }
        if let kernels = named(name) { return kernels }
        let choices = available.map(\.name).joined(separator: ", ")
        if knownNames.contains(name) {
            throw ComputeError(
                .unavailableKernels, "MOED_KERNELS=\(name): this processor can't run them; it can run \(choices)")
        }
        throw ComputeError(.unknownKernels, "MOED_KERNELS=\(name): no such kernels; this processor can run \(choices)")
    }

    private static let environmentChoice: Result<Kernels, ComputeError> = {
        let name = unsafe getenv("MOED_KERNELS").map { unsafe String(cString: $0) }
        do throws(ComputeError) { return .success(try selected(by: name)) } catch { return .failure(error) }
    }()
}
