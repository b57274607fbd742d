package org.edgekit.demo.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Strict reading of one JSON object: a missing field or a wrong type is an error that names the field. */
final class Fields {
    private static final int MAX_SHOWN = 60;

    private final JSONObject object;
    private final String where;

    Fields(JSONObject object, String where) {
        this.object = object;
        this.where = where;
    }

    static Fields parse(String text, String where) throws ModelException {
        try {
            return new Fields(new JSONObject(text), where);
        } catch (JSONException error) {
            // The parser's message ends in the whole document.
            String reason = String.valueOf(error.getMessage()).replaceFirst("(?s) of .*", "");
            throw new ModelException(where + " is not valid JSON: " + reason, error);
        }
    }

    String text(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof String)) {
            throw wrong(name, "text", value);
        }
        return (String) value;
    }

    int integer(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof Integer)) {
            throw wrong(name, "a whole number", value);
        }
        return (Integer) value;
    }

    Integer integerOrNull(String name) throws ModelException {
        return object.isNull(name) ? null : Integer.valueOf(integer(name));
    }

    /** Returns true where a non-empty list has this name. */
    boolean hasEntries(String name) {
        JSONArray list = object.optJSONArray(name);
        return list != null && list.length() > 0;
    }

    long wide(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof Integer) && !(value instanceof Long)) {
            throw wrong(name, "a whole number", value);
        }
        return ((Number) value).longValue();
    }

    double number(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof Number)) {
            throw wrong(name, "a number", value);
        }
        return ((Number) value).doubleValue();
    }

    Double numberOrNull(String name) throws ModelException {
        return object.isNull(name) ? null : Double.valueOf(number(name));
    }

    double[] numbers(String name) throws ModelException {
        JSONArray array = array(name);
        double[] values = new double[array.length()];
        for (int index = 0; index < values.length; index++) {
            Object value = array.opt(index);
            if (!(value instanceof Number)) {
                throw wrong(name + "[" + index + "]", "a number", value);
            }
            values[index] = ((Number) value).doubleValue();
        }
        return values;
    }

    int[] integers(String name) throws ModelException {
        double[] values = numbers(name);
        int[] whole = new int[values.length];
        for (int index = 0; index < values.length; index++) {
            whole[index] = (int) values[index];
            if (whole[index] != values[index]) {
                throw wrong(name + "[" + index + "]", "a whole number", values[index]);
            }
        }
        return whole;
    }

    /** Returns whole numbers of which a missing one (null) becomes -1. */
    int[] dimensions(String name) throws ModelException {
        JSONArray array = array(name);
        int[] whole = new int[array.length()];
        for (int index = 0; index < whole.length; index++) {
            Object value = array.opt(index);
            if (!array.isNull(index) && !(value instanceof Integer && (Integer) value >= 0)) {
                throw wrong(name + "[" + index + "]", "a dimension", value);
            }
            whole[index] = array.isNull(index) ? -1 : (Integer) value;
        }
        return whole;
    }

    List<String> texts(String name) throws ModelException {
        JSONArray array = array(name);
        List<String> texts = new ArrayList<>();
        for (int index = 0; index < array.length(); index++) {
            Object value = array.opt(index);
            if (!(value instanceof String)) {
                throw wrong(name + "[" + index + "]", "text", value);
            }
            texts.add((String) value);
        }
        return Collections.unmodifiableList(texts);
    }

    Fields object(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof JSONObject)) {
            throw wrong(name, "an object", value);
        }
        return new Fields((JSONObject) value, where + ", " + name);
    }

    Fields objectOrNull(String name) throws ModelException {
        return object.isNull(name) ? null : object(name);
    }

    Fields[] objects(String name) throws ModelException {
        JSONArray array = array(name);
        Fields[] objects = new Fields[array.length()];
        for (int index = 0; index < objects.length; index++) {
            Object value = array.opt(index);
            if (!(value instanceof JSONObject)) {
                throw wrong(name + "[" + index + "]", "an object", value);
            }
            objects[index] = new Fields((JSONObject) value, where + ", " + name + "[" + index + "]");
        }
        return objects;
    }

    ModelException refuse(String message) {
        return new ModelException(where + ": " + message);
    }

    private JSONArray array(String name) throws ModelException {
        Object value = required(name);
        if (!(value instanceof JSONArray)) {
            throw wrong(name, "a list", value);
        }
        return (JSONArray) value;
    }

    private Object required(String name) throws ModelException {
        if (object.isNull(name)) {
            throw refuse("\"" + name + "\" is missing");
        }
        return object.opt(name);
    }

    private ModelException wrong(String name, String wanted, Object found) {
        String shown = String.valueOf(found);
        if (shown.length() > MAX_SHOWN) {
            shown = shown.substring(0, MAX_SHOWN) + "…";
        }
        return refuse("\"" + name + "\" should be " + wanted + ", but is " + shown);
    }
}
