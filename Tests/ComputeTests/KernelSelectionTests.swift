import Compute
import Testing

@Suite("The choice of kernels")
struct KernelSelectionTests {
    @Test("The scalar reference is always there, and first")
    func scalarFirst() {
        #expect(Kernels.available.first?.name == "scalar")
        #expect(Kernels.available.allSatisfy { Kernels.knownNames.contains($0.name) })
    }

    @Test("Nothing named means the fastest", arguments: [nil, ""])
    func fastest(name: String?) throws {
        #expect(try Kernels.selected(by: name).name == Kernels.available.last?.name)
    }

    @Test("Every available entry can be named", arguments: Kernels.available.map(\.name))
    func named(name: String) throws {
        #expect(try Kernels.selected(by: name).name == name)
    }

    @Test("An unknown name is an error that lists the choices")
    func unknown() {
        let error = #expect(throws: ComputeError.self) { try Kernels.selected(by: "sse9") }
        #expect(error?.code == .unknownKernels)
        #expect(error?.message.contains("sse9") == true)
        #expect(error?.message.contains("scalar") == true)
    }

    @Test("Another processor's entry is an error of its own")
    func unavailable() {
        let available = Kernels.available.map(\.name)
        for name in Kernels.knownNames where !available.contains(name) {
            let error = #expect(throws: ComputeError.self) { try Kernels.selected(by: name) }
            #expect(error?.code == .unavailableKernels)
        }
    }
}
