import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * Compiles Java for many programs in one process: the compiler and the class path are loaded once. Reads frames (eight
 * bytes of length, then JSON {"name", "text"}) from stdin and answers with frames {"ok", "binary", "text"} on stdout.
 * It never runs what it compiles.
 */
public final class JavaService {
    public static void main(String[] arguments) throws IOException {
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager standard = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
        List<String> options = List.of("-proc:none", "-cp", arguments[0]);
        DataInputStream in = new DataInputStream(System.in);
        DataOutputStream out = new DataOutputStream(System.out);
        while (true) {
            byte[] body = new byte[(int) in.readLong()];
            in.readFully(body);
            Map<String, String> request = new Strings(new String(body, StandardCharsets.US_ASCII)).object();
            byte[] answer = compile(compiler, standard, options, request.get("name"), request.get("text"));
            out.writeLong(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    private static byte[] compile(
            JavaCompiler compiler, StandardJavaFileManager standard, List<String> options, String name, String text) {
        Memory memory = new Memory(standard);
        StringWriter messages = new StringWriter();
        boolean ok;
        try {
            ok = compiler.getTask(messages, memory, null, options, null, List.of(new Source(name, text))).call();
        } catch (RuntimeException error) {
            ok = false;
            messages.write("the compiler failed: " + error);
        }
        StringBuilder json = new StringBuilder("{\"ok\":").append(ok).append(",\"files\":{},\"binary\":{");
        String comma = "";
        for (Map.Entry<String, ByteArrayOutputStream> entry : memory.classes.entrySet()) {
            String encoded = Base64.getEncoder().encodeToString(entry.getValue().toByteArray());
            json.append(comma).append(quote(entry.getKey() + ".class")).append(':').append(quote(encoded));
            comma = ",";
        }
        json.append("},\"text\":").append(quote(messages.toString())).append('}');
        return json.toString().getBytes(StandardCharsets.US_ASCII);
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c < ' ' || c > '~' || c == '"' || c == '\\') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /** A source text in memory. */
    private static final class Source extends SimpleJavaFileObject {
        private final String text;

        Source(String name, String text) {
            super(URI.create("string:///" + name), Kind.SOURCE);
            this.text = text;
        }

        @Override
        public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }
    }

    /** Keeps the compiled classes in memory. */
    private static final class Memory extends ForwardingJavaFileManager<StandardJavaFileManager> {
        final Map<String, ByteArrayOutputStream> classes = new TreeMap<>();

        Memory(StandardJavaFileManager standard) {
            super(standard);
        }

        @Override
        public JavaFileObject getJavaFileForOutput(
                JavaFileManager.Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
            return new SimpleJavaFileObject(URI.create("memory:///" + name.replace('.', '/')), kind) {
                @Override
                public OutputStream openOutputStream() {
                    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                    classes.put(name, bytes);
                    return bytes;
                }
            };
        }
    }

    /** Reads a JSON object whose values are strings, in the ASCII form that the agent writes. */
    private static final class Strings {
        private final String json;
        private int at;

        Strings(String json) {
            this.json = json;
        }

        Map<String, String> object() {
            Map<String, String> object = new TreeMap<>();
            while (json.charAt(at) != '}') {
                at++; // the brace or the comma
                String key = string();
                at++; // the colon
                object.put(key, string());
            }
            return object;
        }

        private String string() {
            StringBuilder text = new StringBuilder();
            for (at++; json.charAt(at) != '"'; at++) {
                char c = json.charAt(at);
                if (c != '\\') {
                    text.append(c);
                    continue;
                }
                char escape = json.charAt(++at);
                int known = "bfnrt".indexOf(escape);
                if (escape == 'u') {
                    text.append((char) Integer.parseInt(json.substring(at + 1, at + 5), 16));
                    at += 4;
                } else {
                    text.append(known < 0 ? escape : "\b\f\n\r\t".charAt(known));
                }
            }
            at++;
            return text.toString();
        }
    }
}
