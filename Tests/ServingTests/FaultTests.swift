import API
import Container
import DemoSupport
import FoundationEssentials
import Glibc
import TestSupport
import Testing

extension ServingSuite {
    /// A daemon whose every answer reads experts, because few of them have a slot.
    @Suite("Faults of the file and its storage")
    struct FaultTests {
        private let directory: TemporaryDirectory
        private var socket: String { "\(directory.path)/moed.sock" }
        private var model: String { "\(directory.path)/model.moe" }

        init() throws {
            directory = try TemporaryDirectory()
            try FileManager.default.copyItem(atPath: DemoContainer.path(), toPath: model)
        }

        private func serve(
            slots: [String] = ["--expert-slots", "8"], environment: [String: String] = [:]
        ) throws -> ProcessClient {
            ProcessClient(
                moed: try MoedProcess(
                    [
                        "serve", model, "--socket", socket, "--memory", "1G", "--parallel", "4", "--context", "256",
                        "--threads", "1",
                    ] + slots, environment: environment.merging(["MEMORY_PRESSURE_WATCH": "/dev/null"]) { $1 }),
                socket: socket)
        }

        private func overwrite(with bytes: Data) throws {
            let file = open(model, O_WRONLY | O_TRUNC | O_CLOEXEC)
            defer { close(file) }
            let count = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            guard count == bytes.count else { throw SystemCallFailure(call: "write", code: errno) }
        }

        private func has(_ text: String) -> @Sendable (Status) -> Bool {
            { ($0.conditions ?? []).contains { $0.contains(text) } }
        }

        @Test("a file that is cut fails the requests that need it, and heals when its bytes are back")
        func truncated() async throws {
            let client = try serve()
            let before = try await client.text(seed: 1, tokens: 30)
            let bytes = try Data(contentsOf: URL(filePath: model))
            #expect(truncate(model, 8192) == 0)
            let failed = try await client.complete(seed: 1, tokens: 30)
            #expect(failed.status == 500)
            #expect(try error(in: failed).message.contains("the end of the file"), "\(failed.body)")
            #expect(try await client.get("/health").status == 200)
            let status = try await client.wait(until: has("was changed while it is served"))
            #expect(has("could not be read when asked for")(status))
            #expect(try await client.get("/metrics").body.contains("moed_model_file_sound 0\n"))
            try overwrite(with: bytes)
            #expect(try await client.text(seed: 1, tokens: 30) == before)
            for seed in 2..<6 { _ = try await client.text(seed: seed, tokens: 30) }
            try await client.wait { !has("was changed")($0) }
            #expect(try await client.stop().text.contains("the model's file is in its place again"))
        }

        @Test("a file that is replaced or removed is served on, and told of; its copy takes its place")
        func replaced() async throws {
            let client = try serve()
            let before = try await client.text(seed: 1, tokens: 30)
            let (old, other) = ("\(directory.path)/old", "\(directory.path)/other")
            #expect(link(model, old) == 0)
            let mute = try TokenizerlessContainer.write(in: directory.path)
            #expect(rename(mute, other) == 0)
            #expect(rename(other, model) == 0)
            try await client.wait(until: has("another file stands where the model's was"))
            #expect(try await client.text(seed: 1, tokens: 30) == before)

            #expect(unlink(model) == 0)
            try await client.wait(until: has("the model's file is gone"))
            #expect(try await client.text(seed: 1, tokens: 30) == before)

            // A copy of the same model comes, and the old file is damaged: the copy is read.
            try FileManager.default.copyItem(atPath: DemoContainer.path(), toPath: other)
            #expect(rename(other, model) == 0)
            try await client.wait { $0.conditions == [] }
            #expect(truncate(old, 0) == 0)
            for seed in 1..<4 { #expect(try await client.complete(seed: seed, tokens: 30).status == 200) }
            #expect(try await client.text(seed: 1, tokens: 30) == before)
            #expect(try await client.stop().status == 0)
        }

        @Test("what is written over the file is never mixed in")
        func overwritten() async throws {
            let client = try serve()
            let before = try await client.text(seed: 1, tokens: 30)
            // Every expert's bytes become another's of the same shape: only checksums tell.
            let container = try ContainerReader(path: model)
            let bytes = try Data(contentsOf: URL(filePath: model))
            var mixed = bytes
            let records = container.experts.values.sorted { $0.offset < $1.offset }
            for (record, next) in zip(records, records.dropFirst() + records.prefix(1))
            where record.storedByteCount == next.storedByteCount {
                let range = Int(next.offset)..<Int(next.offset) + next.storedByteCount
                mixed.replaceSubrange(
                    Int(record.offset)..<Int(record.offset) + record.storedByteCount, with: bytes[range])
            }
            #expect(mixed != bytes)
            let file = open(model, O_WRONLY | O_CLOEXEC)
            defer { close(file) }
            #expect(mixed.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) } == mixed.count)
            let failed = try await client.complete(seed: 1, tokens: 30)
            #expect(failed.status == 500)
            #expect(try error(in: failed).message.contains("checksum"), "\(failed.body)")
            #expect(bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) } == bytes.count)
            #expect(try await client.text(seed: 1, tokens: 30) == before)
            #expect(try await client.stop().status == 0)
        }

        private struct Control: Sendable {
            let path: String

            /// For a daemon that serves the model.
            func environment(_ model: String) throws -> [String: String] {
                ["LD_PRELOAD": try FaultLibrary.path(), "FAULT_PATH": model, "FAULT_CONTROL": path]
            }

            /// What happens to reads of some experts.
            func write(_ records: [ExpertRecord], _ action: String) throws {
                let lines = records.map { "\($0.offset) \($0.offset + UInt64($0.storedByteCount)) \(action)\n" }
                try Data(lines.joined().utf8).write(to: URL(filePath: path), options: .atomic)
            }

            func clear() { unlink(path) }
        }

        /// A daemon with the library of faults, what its eight short answers are when all is well, and an expert that few
        /// of them use.
        private struct Faulty {
            let client: ProcessClient
            let control: Control
            let texts: [String]
            let record: ExpertRecord
        }

        private func serveFaulty() async throws -> Faulty {
            let control = Control(path: "\(directory.path)/control")
            let client = try serve(environment: try control.environment(model))
            var texts: [String] = []
            for seed in 0..<8 { texts.append(try await client.text(seed: seed, tokens: 6)) }
            // The prompt is kept now; what is used from here on is used the next time, too.
            let before = try await popularity(client)
            for seed in 0..<8 { #expect(try await client.text(seed: seed, tokens: 6) == texts[seed]) }
            let rises = try await popularity(client).map { key, value in (key, value - (before[key] ?? 0)) }
            let rare = try #require(rises.filter { $0.1 > 0.6 }.min { $0.1 < $1.1 }).0
            let record = try #require(try ContainerReader(path: model).experts[rare])
            return Faulty(client: client, control: control, texts: texts, record: record)
        }

        private func popularity(_ client: ProcessClient) async throws -> [ExpertKey: Float] {
            let use = try await decode(ExpertUse.self, client.get("/moed/experts"))
            return Dictionary(
                uniqueKeysWithValues: use.layers.flatMap { layer in
                    layer.popularity.enumerated().map {
                        (ExpertKey(layer: layer.layer, expert: $0.offset), $0.element)
                    }
                })
        }

        /// What was used since the start, in order.
        private func used(_ client: ProcessClient) async throws -> [ExpertKey] {
            try await popularity(client).filter { $0.value > 0 }.keys.sorted {
                ($0.layer, $0.expert) < ($1.layer, $1.expert)
            }
        }

        @Test("an expert that can't be read fails the answers that need it, by name, and no others")
        func unreadableRange() async throws {
            let faulty = try await serveFaulty()
            let (client, control, texts, record) = (faulty.client, faulty.control, faulty.texts, faulty.record)
            try control.write([record], "\(EIO)")
            let answers = try await withThrowingTaskGroup(of: (Int, RawResponse).self) { tasks in
                for seed in 0..<8 {
                    tasks.addTask { (seed, try await client.complete(seed: seed, tokens: 6)) }
                }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            var (good, bad) = (0, 0)
            for (seed, response) in answers {
                if response.status == 200 {
                    good += 1
                    let text = try decode(Completion.self, response).choices.map(\.text).joined()
                    #expect(text == texts[seed])
                } else {
                    bad += 1
                    #expect(response.status == 500)
                    let message = try error(in: response).message
                    #expect(message.contains("\(record.key)") && message.contains("errno 5"), "\(message)")
                }
            }
            #expect(good > 0 && bad > 0, "\(good) good, \(bad) bad")
            #expect(has("could not be read when asked for")(try await client.status()))
            control.clear()
            for seed in 0..<8 { #expect(try await client.text(seed: seed, tokens: 6) == texts[seed]) }
            #expect(try await client.status().conditions == [])
            #expect(try await client.stop().status == 0)
        }

        @Test("a read that hangs is waited for where everybody can see it, by those who need it alone")
        func slowRead() async throws {
            let faulty = try await serveFaulty()
            let (client, control, texts, record) = (faulty.client, faulty.control, faulty.texts, faulty.record)
            try control.write([record], "hold")
            try await withThrowingTaskGroup(of: (Int, String).self) { tasks in
                for seed in 0..<8 {
                    tasks.addTask { (seed, try await client.text(seed: seed, tokens: 6)) }
                }
                try await client.wait(until: has("storage is slow: \(record.key) is being read for 2 s"))
                #expect(try await client.get("/health").status == 200)
                // Those who don't need it go on.
                let (seed, text) = try #require(try await tasks.next())
                #expect(text == texts[seed])
                #expect(has("storage is slow")(try await client.status()))
                control.clear()
                for try await (seed, text) in tasks { #expect(text == texts[seed]) }
            }
            try await client.wait { $0.conditions == [] }
            // The log is written by whoever looks: two seconds after the last time, when it next wakes up.
            try await Task.sleep(for: .seconds(4.5))
            let ending = try await client.stop()
            #expect(ending.text.contains("storage reads at its speed again"), "\(ending.text)")
        }

        enum Kind: CaseIterable { case decoder, encoderDecoder }

        @Test("a prompt whose slow reads fill all lanes lets others be answered meanwhile", arguments: Kind.allCases)
        func slowPrompt(_ kind: Kind) async throws {
            let (long, short): (String, String)
            switch kind {
            case .decoder:
                (long, short) = ("Once upon a time there was a little dog who liked to play with a ball.", "The")
            case .encoderDecoder:
                (long, short) = (SwitchContainer.prompt, "b")
                let container = try SwitchContainer()
                unlink(model)
                try FileManager.default.copyItem(atPath: container.path, toPath: model)
            }
            var client = try serve(slots: [])
            let shortAnswer = try await client.text(short, seed: 1, tokens: 2)
            let needed = Set(try await used(client))
            let longAnswer = try await client.text(long, seed: 1, tokens: 2)
            let others = try await used(client).filter { !needed.contains($0) }
            _ = try await client.stop()

            let layers = Dictionary(grouping: others, by: \.layer).filter { $0.value.count > 1 }
            let slow = try #require(layers.min { $0.key < $1.key }).value.prefix(2)
            let control = Control(path: "\(directory.path)/control")
            let container = try ContainerReader(path: model)
            try control.write(slow.compactMap { container.experts[$0] }, "hold")
            client = try serve(slots: [], environment: try control.environment(model))
            async let answer = client.text(long, seed: 1, tokens: 2)
            try await client.wait(until: has("one of 2 slow reads"))
            #expect(try await client.text(short, seed: 1, tokens: 2) == shortAnswer)
            #expect(has("storage is slow")(try await client.status()))
            control.clear()
            #expect(try await answer == longAnswer)
            #expect(try await client.stop().status == 0)
        }

        @Test("a prompt whose chunk needs several experts that are slow whenever they are read gets past all of them")
        func slowAgain() async throws {
            var client = try serve(slots: [])
            let prompt = "Once upon a time there was a little dog who liked to play with a ball."
            let text = try await client.text(prompt, seed: 1, tokens: 1)
            let layers = Dictionary(grouping: try await used(client), by: \.layer).sorted { $0.key < $1.key }
            _ = try await client.stop()

            let container = try ContainerReader(path: model)
            let slow = layers.prefix(3).compactMap { container.experts[$0.value[0]] }
            #expect(slow.count == 3)
            let control = Control(path: "\(directory.path)/control")
            client = try serve(environment: try control.environment(model))
            _ = try await client.status()
            try control.write(slow, "sleep:1100")
            #expect(try await client.text(prompt, seed: 1, tokens: 1) == text)
            #expect(try await client.stop().status == 0)
        }

        @Test("eight answers at once in the smallest arena are those of the whole one")
        func fullArena() async throws {
            let client = ProcessClient(
                moed: try MoedProcess([
                    "serve", model, "--socket", socket, "--memory", "1G", "--expert-slots", "6", "--parallel", "8",
                    "--context", "256", "--threads", "1",
                ]), socket: socket)
            let whole = ProcessClient(
                moed: try MoedProcess([
                    "serve", model, "--socket", socket + "2", "--memory", "1G", "--context", "256", "--threads", "1",
                ]), socket: socket + "2")
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for seed in 0..<16 {
                    tasks.addTask {
                        let text = try await client.text(seed: seed, tokens: 40)
                        #expect(try await whole.text(seed: seed, tokens: 40) == text)
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(try await client.stop().status == 0)
            #expect(try await whole.stop().status == 0)
        }
    }
}
