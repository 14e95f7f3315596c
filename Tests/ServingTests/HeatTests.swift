import API
import DemoSupport
import FoundationEssentials
import Glibc
import Quantizer
import TestSupport
import Testing

extension ServingSuite {
    @Suite("Planes by heat")
    struct HeatTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }
        private var state: String { "\(directory.path)/state" }

        init() throws {
            directory = try TemporaryDirectory()
            guard mkdir(state, 0o700) == 0 else { throw SystemCallFailure(call: "mkdir", code: errno) }
        }

        private func serve(_ planes: String, slots: Int = 60, launcher: [String] = []) throws -> ProcessClient {
            let planes = ["--planes", planes] + (planes == "heat" ? ["--state", state] : [])
            return ProcessClient(
                moed: try MoedProcess(
                    [
                        "serve", try DemoContainer.path(.nested), "--socket", socket, "--memory", "1G", "--context",
                        "256",
                        "--threads", "1", "--expert-slots", "\(slots)",
                    ] + planes, environment: ["MEMORY_PRESSURE_WATCH": "/dev/null"], launcher: launcher),
                socket: socket)
        }

        private func texts(_ client: ProcessClient) async throws -> [String] {
            var texts: [String] = []
            for seed in 0..<3 { texts.append(try await client.text(seed: seed, tokens: 60)) }
            return texts
        }

        @Test("begins coarse and says so, and uses both planes of the most used experts from the next start on")
        func nextStart() async throws {
            var client = try serve("coarse")
            let coarse = try await texts(client)
            let coarseFingerprint = try await client.status().model.fingerprint
            _ = try await client.stop()

            client = try serve("heat")
            var memory = try await client.status().memory
            #expect(memory.expertPlanes == "heat" && memory.refinedExpertCount == 0 && memory.refinedUse == nil)
            // Nothing is refined yet, so it is the very same model.
            #expect(try await client.status().model.fingerprint == coarseFingerprint)
            #expect(try await texts(client) == coarse)
            var ending = try await client.stop()
            #expect(ending.text.contains("nothing is recorded of that yet"), "\(ending.text)")

            client = try serve("heat")
            memory = try await client.status().memory
            // All slots but the least that the others need: four experts a token and four lanes.
            #expect(memory.expertPlanes == "heat" && memory.refinedExpertCount == 52)
            let use = try #require(memory.refinedUse)
            #expect(use > 0.5 && use < 1)
            let fingerprint = try await client.status().model.fingerprint
            #expect(fingerprint != coarseFingerprint)
            let texts = try await texts(client)
            #expect(texts != coarse)
            // Whatever was asked meanwhile.
            #expect(try await self.texts(client) == texts)
            let paging = try await client.status().paging
            let refined = try #require(paging.refinedUseCount)
            #expect(Double(refined) / Double(paging.hitCount + paging.missCount) > 0.4)
            let metrics = try await client.get("/metrics").body.split(separator: "\n")
            #expect(metrics.contains("moed_expert_refined 52"))
            #expect(metrics.contains { $0.hasPrefix("moed_expert_refined_recorded_use_ratio 0.") })
            #expect(metrics.contains { $0.hasPrefix("moed_expert_refined_uses_total{layer=\"1\"}") })
            // Without another record, another run chooses the same.
            client.moed.signal(SIGKILL)
            ending = try await client.moed.ending()
            #expect(ending.text.contains("both planes, 8 bits a weight, of 52 experts"), "\(ending.text)")
            client = try serve("heat")
            #expect(try await client.status().model.fingerprint == fingerprint)
            #expect(try await self.texts(client) == texts)
            _ = try await client.stop()
        }

        @Test("is refused where nothing can be recorded")
        func withoutState() async throws {
            let moed = try MoedProcess(
                ["serve", try DemoContainer.path(.nested), "--socket", socket], environment: ["MOED_PLANES": "heat"])
            let ending = try await moed.ending()
            #expect(ending.status == EX_USAGE && ending.text.contains("give --state DIRECTORY"), "\(ending.text)")
        }

        @Test("what is kept in memory serves the next run with the same planes")
        func kept() async throws {
            let store = try DescriptorStore("\(directory.path)/notify")
            var client = try serve("heat")
            _ = try await texts(client)
            _ = try await client.stop()
            client = try serve("heat", launcher: store.launcher)
            try await store.messages(until: "READY=1")
            let heat = try await texts(client)
            client.moed.signal(SIGKILL)
            _ = try await client.moed.ending()
            client = try serve("heat", launcher: store.launcher)
            try await store.messages(until: "READY=1")
            #expect(try #require(try await client.status().paging.residentCount) > 40)
            #expect(try await texts(client) == heat)
            let log = try await client.stop().text
            #expect(log.contains("found in memory"), "\(log)")
        }
    }
}
