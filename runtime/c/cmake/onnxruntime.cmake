# ONNX Runtime: its headers, its library, and what the shared library is linked with in its place.
find_path(ONNXRUNTIME_INCLUDE onnxruntime_c_api.h
    HINTS ${ONNXRUNTIME_ROOT}/include PATH_SUFFIXES onnxruntime REQUIRED)
find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS ${ONNXRUNTIME_ROOT}/lib REQUIRED)
get_filename_component(ONNXRUNTIME_LIBDIR ${ONNXRUNTIME_LIBRARY} DIRECTORY)
add_library(carve::onnxruntime UNKNOWN IMPORTED)
set_target_properties(carve::onnxruntime PROPERTIES IMPORTED_LOCATION ${ONNXRUNTIME_LIBRARY})

# Builds of ONNX Runtime for ELF systems give their symbols the version of their release, VERS_1.32.0, and what
# is linked with one loads with no other. libcarve needs a single symbol, whose own argument says which API is
# asked for; so it is linked with a stub of the same SONAME that has this symbol without a version.
set(CARVE_ONNXRUNTIME ${ONNXRUNTIME_LIBRARY})
if(CARVE_ELF)
    execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${ONNXRUNTIME_LIBRARY}
        OUTPUT_VARIABLE headers ERROR_VARIABLE ignored)
    if(headers MATCHES "SONAME +([^ \n]+)") # an archive has none
        set(ONNXRUNTIME_SONAME ${CMAKE_MATCH_1})
        add_library(onnxruntime_stub SHARED cmake/onnxruntime_stub.c)
        # Its file has another name, so that no program ever loads it.
        set_target_properties(onnxruntime_stub PROPERTIES NO_SONAME ON C_VISIBILITY_PRESET default)
        target_link_options(onnxruntime_stub PRIVATE LINKER:-soname,${ONNXRUNTIME_SONAME})
        set(CARVE_ONNXRUNTIME $<TARGET_FILE:onnxruntime_stub>)
    endif()
endif()
